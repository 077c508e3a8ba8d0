//! Families: functions that are never to blame, as data.
//!
//! Needs: the table in `families.txt`, and perhaps a site's own. Gives: the family of a function.
//! Which kinds of crashes use which special families is in their rows (`crash::kinds`).

use std::collections::HashSet;
use std::sync::OnceLock;

use thiserror::Error;

use crate::wildcard::Wildcard;

/// The built-in table.
const BUILT_IN: &str = include_str!("families.txt");
/// The longest version: it becomes a part of every signature.
const MAX_VERSION: usize = 16;

/// A table of families that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FamiliesError {
    /// A pattern before any family.
    #[error("line {line}: {pattern:?} precedes the first [family]")]
    NoFamily {
        /// The line's number, from 1.
        line: usize,
        /// The pattern.
        pattern: String,
    },
    /// A pattern that would match everything.
    #[error("line {line}: {pattern:?} is not a pattern for function names")]
    Pattern {
        /// The line's number, from 1.
        line: usize,
        /// The pattern.
        pattern: String,
    },
    /// No version, or none that a signature can have.
    #[error("a table of families needs a line `version NAME` of 1 to 16 letters and digits")]
    Version,
}

/// A table of families.
#[derive(Clone, Debug, Default)]
pub struct Families {
    /// Its version, a part of signatures.
    version: String,
    families: Vec<Family>,
    /// The site's own table, if there is one.
    site: Option<String>,
}

/// One family.
#[derive(Clone, Debug, Default)]
struct Family {
    name: String,
    covers: String,
    exact: HashSet<String>,
    /// Each with the byte that a name has to begin with, if it begins with one: most patterns are
    /// passed over by that.
    wildcards: Vec<(Option<u8>, Wildcard)>,
}

impl Families {
    /// The built-in families.
    pub fn built_in() -> &'static Self {
        static TABLE: OnceLock<Families> = OnceLock::new();
        // A test parses the table, so it has no errors.
        TABLE.get_or_init(|| Self::parse(BUILT_IN).unwrap_or_default())
    }

    /// The built-in families and a site's own. A site's family of the same name extends a built-in
    /// one.
    pub fn extended(site: &str) -> Result<Self, FamiliesError> {
        let mut all = Self { site: Some(site.to_owned()), ..Self::built_in().clone() };
        let site = Self::parse(site)?;
        all.version = format!("{}.{}", all.version, site.version);
        for family in site.families {
            match all.families.iter_mut().find(|known| known.name == family.name) {
                Some(known) => {
                    known.exact.extend(family.exact);
                    known.wildcards.extend(family.wildcards);
                }
                None => all.families.push(family),
            }
        }
        Ok(all)
    }

    /// Reads a table.
    pub(crate) fn parse(table: &str) -> Result<Self, FamiliesError> {
        let mut families = Self::default();
        for (index, line) in table.lines().enumerate() {
            let (line_number, line) = (index.saturating_add(1), line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(version) = line.strip_prefix("version ") {
                version.trim().clone_into(&mut families.version);
                continue;
            }
            if let Some((name, covers)) = line.strip_prefix('[').and_then(|l| l.split_once(']')) {
                families.families.push(Family {
                    name: name.to_owned(),
                    covers: covers.trim().to_owned(),
                    ..Family::default()
                });
                continue;
            }
            let Some(family) = families.families.last_mut() else {
                let pattern = line.to_owned();
                return Err(FamiliesError::NoFamily { line: line_number, pattern });
            };
            for pattern in line.split_whitespace() {
                if pattern.bytes().all(|byte| byte == b'*') {
                    let pattern = pattern.to_owned();
                    return Err(FamiliesError::Pattern { line: line_number, pattern });
                }
                if pattern.contains('*') {
                    let first = pattern.bytes().next().filter(|first| *first != b'*');
                    family.wildcards.push((first, Wildcard::new(pattern)));
                } else {
                    family.exact.insert(pattern.to_owned());
                }
            }
        }
        let version = &families.version;
        let usable = (1..=MAX_VERSION).contains(&version.len())
            && version.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if usable { Ok(families) } else { Err(FamiliesError::Version) }
    }

    /// The text of the site's own table, as [`Self::extended`] took it.
    pub fn site_table(&self) -> Option<&str> {
        self.site.as_deref()
    }

    /// The table's version. A site's own follows a point.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The family that a function is in: a general one, or one of these special ones.
    pub fn of(&self, function: &str, special: &[&str]) -> Option<&str> {
        let wanted = |family: &&Family| {
            !family.name.starts_with('@') || special.contains(&family.name.as_str())
        };
        let found = self.families.iter().filter(wanted).find(|family| family.has(function))?;
        Some(&found.name)
    }

    /// Whether a function is in the family of this name.
    pub fn is_in(&self, function: &str, family: &str) -> bool {
        let known = self.families.iter().find(|known| known.name == family);
        known.is_some_and(|known| known.has(function))
    }

    /// What a family covers, in words.
    pub fn covers(&self, family: &str) -> Option<&str> {
        let known = self.families.iter().find(|known| known.name == family)?;
        Some(&known.covers)
    }
}

impl Family {
    fn has(&self, function: &str) -> bool {
        let begins = function.bytes().next();
        let mut fitting =
            self.wildcards.iter().filter(|(first, _)| first.is_none() || *first == begins);
        self.exact.contains(function) || fitting.any(|(_, wildcard)| wildcard.matches(function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_sound() {
        let table = Families::parse(BUILT_IN).unwrap();
        assert_eq!(table.version(), "1");
        assert_eq!(table.of("dump_stack_lvl", &[]), Some("dump"));
        assert_eq!(table.of("ext4_readdir", &[]), None);
    }

    #[test]
    fn patterns_are_anchored_unless_they_have_a_star() {
        let table = Families::parse("version 1\n[x] y\npanic\nkfree*\n*_lock\na*b*c").unwrap();
        for name in ["panic", "kfree", "kfree_skb", "my_lock", "abc", "a-b--c"] {
            assert_eq!(table.of(name, &[]), Some("x"), "{name}");
        }
        for name in ["panics", "kvfree", "my_locks", "ab", "acb"] {
            assert_eq!(table.of(name, &[]), None, "{name}");
        }
    }

    #[test]
    fn special_families_are_used_only_when_asked_for() {
        let table = Families::parse("version 1\n[@rcu] y\nrcu*").unwrap();
        assert_eq!(table.of("rcu_core", &[]), None);
        assert_eq!(table.of("rcu_core", &["@rcu"]), Some("@rcu"));
    }

    #[test]
    fn a_site_extends_the_table_and_the_version() {
        let site = "version acme2\n[dump] ours\nacme_dump*\n[acme] glue\nacme_glue";
        let table = Families::extended(site).unwrap();
        assert_eq!(table.version(), "1.acme2");
        assert_eq!(table.of("acme_dump_all", &[]), Some("dump"));
        assert_eq!(table.of("acme_glue", &[]), Some("acme"));
        assert_eq!(table.covers("acme"), Some("glue"));
        assert_eq!(table.of("dump_stack", &[]), Some("dump"));
    }

    #[test]
    fn what_cannot_be_a_table_is_an_error() {
        let of = |text| Families::parse(text).unwrap_err();
        assert_eq!(of("[a] b\nc"), FamiliesError::Version);
        assert_eq!(of("version a b"), FamiliesError::Version);
        assert!(matches!(of("version 1\nc"), FamiliesError::NoFamily { line: 2, .. }));
        assert!(matches!(of("version 1\n[a] b\n**"), FamiliesError::Pattern { line: 3, .. }));
    }
}
