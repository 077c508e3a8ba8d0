//! Recipients: the public keys that files are encrypted to.
//!
//! ```text
//! age1...                       an X25519 key, or the key of a plugin: age1NAME1...
//! ssh-ed25519 ..., ssh-rsa ...  an ssh key
//! @FILE, FILE                   a file that has one a line; # begins a comment
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use age::plugin::RecipientPluginV1;
use age::ssh::ParseRecipientKeyError;
use age_core::format::{FileKey as AgeKey, Stanza};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use super::EncryptionError;
use super::file_key::FileKey;
use super::identities::{Ask, Asking, one_line, read_keys};
use crate::metadata::RecipientKey;

/// Recipients.
pub struct Recipients {
    wrap: Vec<Box<dyn age::Recipient + Send>>,
    keys: Vec<RecipientKey>,
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.keys).finish()
    }
}

/// One recipient.
enum Parsed {
    Key(Box<dyn age::Recipient + Send>),
    Plugin(age::plugin::Recipient),
}

/// Why a text is no recipient.
enum Refused {
    /// It is something else.
    Other,
    /// It is one that cannot be used.
    Because(&'static str),
}

impl Recipients {
    /// What these texts name.
    ///
    /// # Errors
    /// Fails if one is no recipient, if a file cannot be read, or if a plugin is not installed.
    pub fn of(texts: &[String], ask: &Arc<dyn Ask>) -> Result<Self, EncryptionError> {
        let mut lines = Vec::new();
        for text in texts {
            let path = Path::new(text.strip_prefix('@').unwrap_or(text));
            match parse(text) {
                Err(Refused::Because(problem)) => {
                    return Err(EncryptionError::Wrap { problem: problem.to_owned() });
                }
                Ok(_) => lines.push(text.trim().to_owned()),
                Err(Refused::Other) if text.starts_with('@') || path.exists() => {
                    lines.extend(in_file(path)?);
                }
                Err(Refused::Other) => {
                    return Err(EncryptionError::NoRecipient { text: text.clone() });
                }
            }
        }
        Self::of_lines(&lines, ask)
    }

    fn of_lines(lines: &[String], ask: &Arc<dyn Ask>) -> Result<Self, EncryptionError> {
        let mut wrap = Vec::new();
        let mut plugins = Vec::new();
        for line in lines {
            match parse(line) {
                Ok(Parsed::Key(recipient)) => wrap.push(recipient),
                Ok(Parsed::Plugin(recipient)) => plugins.push(recipient),
                Err(_) => return Err(EncryptionError::NoRecipient { text: line.clone() }),
            }
        }
        let names: BTreeSet<&str> = plugins.iter().map(age::plugin::Recipient::plugin).collect();
        for name in names {
            let asking = Asking::new(ask);
            let plugin = RecipientPluginV1::new(name, &plugins, &[], asking);
            let plugin = plugin.map_err(|_| EncryptionError::Wrap {
                problem: format!("age-plugin-{name} is not installed"),
            })?;
            wrap.push(Box::new(plugin));
        }
        if wrap.is_empty() {
            return Err(EncryptionError::NoRecipients { place: "what was given".to_owned() });
        }
        Ok(Self { wrap, keys: lines.iter().map(|line| key_of(line)).collect() })
    }

    /// Their types and fingerprints.
    pub fn keys(&self) -> &[RecipientKey] {
        &self.keys
    }

    /// A file key, wrapped for each of them.
    pub(super) fn wrap(&self, key: &FileKey) -> Result<Vec<Stanza>, EncryptionError> {
        let key = AgeKey::new(Box::new(*key.bytes()));
        let mut stanzas = Vec::new();
        let mut labels = None;
        for recipient in &self.wrap {
            let wrapped = recipient.wrap_file_key(&key);
            let (wrapped, its_labels) =
                wrapped.map_err(|error| EncryptionError::Wrap { problem: one_line(&error) })?;
            stanzas.extend(wrapped);
            if *labels.get_or_insert_with(|| its_labels.clone()) != its_labels {
                let problem = "some of them may not be used together with the others".to_owned();
                return Err(EncryptionError::Wrap { problem });
            }
        }
        Ok(stanzas)
    }
}

/// The recipients in a file, as lines.
fn in_file(path: &Path) -> Result<Vec<String>, EncryptionError> {
    let text = read_keys(path)?;
    let text = String::from_utf8_lossy(&text);
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if parse(line).is_err() {
            let line = index.saturating_add(1);
            return Err(EncryptionError::RecipientLine { path: path.to_owned(), line });
        }
        found.push(line.to_owned());
    }
    if found.is_empty() {
        return Err(EncryptionError::NoRecipients { place: path.display().to_string() });
    }
    Ok(found)
}

fn parse(text: &str) -> Result<Parsed, Refused> {
    let text = text.trim();
    if let Ok(recipient) = text.parse::<age::x25519::Recipient>() {
        return Ok(Parsed::Key(Box::new(recipient)));
    }
    match text.parse::<age::ssh::Recipient>() {
        Ok(recipient) => return Ok(Parsed::Key(Box::new(recipient))),
        Err(ParseRecipientKeyError::RsaModulusTooSmall) => {
            return Err(Refused::Because("an ssh-rsa key of less than 2048 bits is too weak"));
        }
        Err(ParseRecipientKeyError::RsaModulusTooLarge) => {
            return Err(Refused::Because("an ssh-rsa key is too long"));
        }
        Err(ParseRecipientKeyError::Unsupported(_)) => {
            return Err(Refused::Because("of ssh keys, ssh-ed25519 and ssh-rsa can be used"));
        }
        Err(_) => {}
    }
    text.parse::<age::plugin::Recipient>().map(Parsed::Plugin).map_err(|_| Refused::Other)
}

/// Type and fingerprint of a recipient: of an ssh key the one that `ssh-keygen -l` prints, of
/// others that of the text.
fn key_of(line: &str) -> RecipientKey {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let blob = words.next().filter(|_| first.starts_with("ssh-"));
    let blob = blob.and_then(|blob| BASE64_STANDARD.decode(blob).ok());
    let kind = match (blob.is_some(), first.rsplit_once('1')) {
        (true, _) => first.to_owned(),
        (false, Some(("age", _))) => "X25519".to_owned(),
        (false, Some((name, _))) => name.strip_prefix("age1").unwrap_or(name).to_owned(),
        (false, None) => String::new(),
    };
    let digest = Sha256::digest(blob.as_deref().unwrap_or(first.as_bytes()));
    RecipientKey { kind, fingerprint: format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(digest)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::identities::tests::nobody;

    const SSH: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice@rust";
    const AGE: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    fn of(texts: &[&str]) -> Result<Recipients, EncryptionError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Recipients::of(&texts, &nobody())
    }

    #[test]
    fn recipients_are_keys_and_files_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, format!("# ours\n\n{AGE}\r\n{SSH}\n")).unwrap();
        let path = file.display().to_string();
        for (given, types) in [
            (vec![AGE], vec!["X25519"]),
            (vec![SSH, AGE], vec!["ssh-ed25519", "X25519"]),
            (vec![path.as_str()], vec!["X25519", "ssh-ed25519"]),
            (vec![&format!("@{path}"), AGE], vec!["X25519", "ssh-ed25519", "X25519"]),
        ] {
            let found = of(&given).unwrap();
            let found: Vec<&str> = found.keys().iter().map(|key| key.kind.as_str()).collect();
            assert_eq!(found, types);
        }
    }

    /// As `ssh-keygen -lf` prints it.
    #[test]
    fn the_fingerprint_of_an_ssh_key_is_that_of_ssh() {
        let keys = of(&[SSH]).unwrap();
        let expected =
            Sha256::digest(BASE64_STANDARD.decode(SSH.split(' ').nth(1).unwrap()).unwrap());
        let expected = format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(expected));
        assert_eq!(keys.keys()[0].fingerprint, expected);
    }

    #[test]
    fn what_is_no_recipient_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, format!("{AGE}\nage1nonsense\n")).unwrap();
        let path = file.display().to_string();
        let error = of(&[&path]).unwrap_err();
        assert!(matches!(error, EncryptionError::RecipientLine { line: 2, .. }), "{error}");
        let error = of(&["age1nonsense"]).unwrap_err();
        assert!(matches!(error, EncryptionError::NoRecipient { .. }) && error.hint().is_some());
        assert!(matches!(of(&["@/nowhere/keys"]), Err(EncryptionError::Keys { .. })));
        assert!(matches!(of(&[]), Err(EncryptionError::NoRecipients { .. })));
        std::fs::write(&file, "# none\n").unwrap();
        assert!(matches!(of(&[&path]), Err(EncryptionError::NoRecipients { .. })));
    }
}
