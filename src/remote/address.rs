//! Addresses of cores and stores: what is one, and how it is shown.

use std::borrow::Cow;
use std::path::PathBuf;

/// What an address may begin with.
const SCHEMES: [&str; 7] = ["s3://", "s3a://", "gs://", "az://", "https://", "http://", "file://"];

/// Where an ENTRY or a store is that was typed as an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On this machine: `file:///path`.
    Local(PathBuf),
    /// Anywhere else.
    Remote(RemoteAddress),
}

/// An address of another machine. May have secrets: a signature in its query.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteAddress {
    text: String,
}

impl Address {
    /// The address that a text is; `None` if it is a path or a name.
    pub fn parse(text: &str) -> Option<Self> {
        let scheme = SCHEMES.into_iter().find(|scheme| {
            text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })?;
        let rest = text.get(scheme.len()..)?;
        if scheme == "file://" {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            return Some(Self::Local(PathBuf::from(unescaped(path))));
        }
        Some(Self::Remote(RemoteAddress { text: format!("{scheme}{rest}") }))
    }
}

impl RemoteAddress {
    /// As it was typed, with its secrets.
    pub fn with_secrets(&self) -> &str {
        &self.text
    }

    /// For people: without the query and without user and password.
    pub fn shown(&self) -> String {
        without_secrets(self.without_query()).into_owned()
    }

    /// The address of something below it. The query stays.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let query = self.text.get(self.without_query().len()..).unwrap_or_default();
        let text = format!("{}/{name}{query}", self.without_query().trim_end_matches('/'));
        Self { text }
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        let plain = self.without_query();
        plain.rsplit_once('/').map_or(plain, |(_, name)| name)
    }

    /// Whether it is the name of a directory rather than that of a file: `…/20260101T000000Z-aaaa0001`,
    /// or with a slash at its end.
    pub fn is_folder(&self) -> bool {
        self.name().is_empty() || !self.name().contains('.')
    }

    /// Whether it has a query: a signature, mostly.
    pub fn has_query(&self) -> bool {
        self.text.contains('?')
    }

    /// Whether it has what is not shown.
    pub fn has_secrets(&self) -> bool {
        self.shown() != self.text
    }

    /// The address of the directory, and the name in it.
    pub fn split(&self) -> (Self, String) {
        let plain = self.without_query().trim_end_matches('/');
        let query = self.text.get(self.without_query().len()..).unwrap_or_default();
        match plain.rsplit_once('/') {
            Some((folder, name)) if !folder.ends_with('/') => {
                (Self { text: format!("{folder}{query}") }, unescaped(name))
            }
            _ => (self.clone(), String::new()),
        }
    }

    fn without_query(&self) -> &str {
        self.text.split_once('?').map_or(&self.text, |(plain, _)| plain)
    }
}

/// Where it is printed, it is without secrets.
impl std::fmt::Debug for RemoteAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

/// A text for people, without the query, the user and the password of each address in it.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let (address, later) = after.split_at(after.find(ends_an_address).unwrap_or(after.len()));
        let first = address.split('/').next().unwrap_or_default();
        // A password that is not escaped: what of it is the host is not certain.
        let is_torn = first.split_once('?').is_some_and(|(_, query)| query.contains('@'));
        let plain = if is_torn { "" } else { address.split('?').next().unwrap_or_default() };
        let authority = plain.split('/').next().unwrap_or_default();
        // In the addresses of object storage, a name by itself is no user but a container.
        let is_user = |user: &str| user.contains(':') || is_web(before);
        let user = authority.rsplit_once('@').filter(|(user, _)| is_user(user));
        let user = user.map_or(0, |(user, _)| user.len().saturating_add(1));
        shown.push_str(plain.get(user..).unwrap_or_default());
        rest = later;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

fn is_web(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    scheme.ends_with("http") || scheme.ends_with("https")
}

/// What is around an address in a text.
fn ends_an_address(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')' | ']')
}

/// A text without its percent-encoding.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, later)) = rest.split_first() {
        let digits = later.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (b'%', Some(byte)) = (first, escaped) {
            bytes.push(byte);
            rest = later.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = later;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> RemoteAddress {
        match Address::parse(text) {
            Some(Address::Remote(address)) => address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_and_names_are_no_addresses() {
        for text in ["latest", "latest:web", "/a/b", "s3:/a", "s3", "ftp://a", "libvirt:web", ""] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
        let local = Address::parse("file:///a%20b/c");
        assert_eq!(local, Some(Address::Local(PathBuf::from("/a b/c"))));
    }

    #[test]
    fn what_is_shown_has_no_secrets() {
        let address = remote("https://user:secret@host/a/core.zst?X-Amz-Signature=secret");
        assert_eq!(address.shown(), "https://host/a/core.zst");
        assert_eq!(format!("{address:?}"), "https://host/a/core.zst");
        assert_eq!(address.name(), "core.zst");
        let below = address.join("x");
        assert!(below.with_secrets().ends_with("/a/core.zst/x?X-Amz-Signature=secret"));
    }

    #[test]
    fn addresses_in_a_text_lose_their_secrets_and_nothing_else() {
        for (text, shown) in [
            ("no entry \"https://h/a?sig=s\" in it?", "no entry \"https://h/a\" in it?"),
            ("(https://u:p@h/a?x=1): HTTP://t@h/b", "(https://h/a): HTTP://h/b"),
            ("s3://key:secret@bucket/a az://c@account/b", "s3://bucket/a az://c@account/b"),
            ("https://h/a@b:1?x&y=z, why?", "https://h/a@b:1 why?"),
            ("what? no://", "what? no://"),
            ("https://u:p?q@h/a", "https://"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
        assert!(remote("s3://key:secret@bucket/a").has_secrets());
        assert!(!remote("az://c@account/b").has_secrets());
    }

    #[test]
    fn an_entry_is_a_folder_and_a_core_is_not() {
        assert!(remote("s3://bucket/web/20260101T000000Z-aaaa0001").is_folder());
        assert!(remote("s3://bucket/web/").is_folder());
        assert!(!remote("s3://bucket/web/vmcore.elf.zst").is_folder());
    }
}
