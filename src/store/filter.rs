//! Which entries of a store are wanted.

use jiff::Timestamp;

use super::listing::{EntryState, Listed};

/// What an entry must be. What is `None` or empty asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The guest's name.
    pub guest: Option<Pattern>,
    /// The release of the guest's kernel.
    pub kernel: Option<Pattern>,
    /// The signature in the report.
    pub signature: Option<Pattern>,
    /// The earliest time.
    pub since: Option<Timestamp>,
    /// The latest time.
    pub until: Option<Timestamp>,
    /// One of these; none of them for what is published.
    pub states: Vec<EntryState>,
}

impl Filter {
    /// Whether an entry is wanted. What is not known of it matches no pattern.
    #[must_use]
    pub fn wants(&self, entry: &Listed) -> bool {
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.matches(text)))
        };
        let signature = entry.report.as_ref().and_then(|report| report.signature.as_deref());
        fits(&self.guest, Some(&entry.guest()))
            && fits(&self.kernel, entry.kernel())
            && fits(&self.signature, signature)
            && self.since.is_none_or(|since| entry.time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| entry.time.is_some_and(|time| time <= until))
            && match self.states.as_slice() {
                [] => entry.published,
                states => states.contains(&entry.state),
            }
    }
}

/// A text in which `*` matches any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern as it is typed.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether the whole of `text` fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            match text.split_once(part) {
                Some((_, behind)) => text = behind,
                None => return false,
            }
        }
        text.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, fits) in [
            ("web", "web", true),
            ("web", "web-3", false),
            ("web-*", "web-3", true),
            ("*-3", "web-3", true),
            ("*", "", true),
            ("6.1.*-cloud-*", "6.1.0-56-cloud-amd64", true),
            ("6.1.*-cloud-*", "6.10.0-cloud-amd64", false),
            ("a*b*a", "aba", true),
            ("a*a", "a", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }
}
