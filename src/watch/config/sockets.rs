//! Which QMP sockets are watched: patterns of their paths.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::values;
use crate::wildcard::Wildcard;

/// The most directory entries that one pattern looks at.
const MAX_SEEN: usize = 100_000;

/// Patterns of sockets that are watched in one manner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sockets {
    /// Paths in which `*` matches any text without `/`.
    pub paths: Vec<PathPattern>,
    /// How often the guest is asked. `None`: the connection is kept, and no panic is missed.
    ///
    /// A monitor has one client. Where another daemon connects for each of its commands, as
    /// Proxmox VE does, a kept connection would shut it out.
    #[serde(default, deserialize_with = "values::some_duration")]
    pub poll: Option<Duration>,
}

/// A pattern of an absolute path, split at each `/`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PathPattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Name(String),
    Pattern(Wildcard),
}

impl Sockets {
    /// The sockets that `samples/hooks` has QEMU open for this program alone.
    pub(super) fn made_for_this_program() -> Vec<Self> {
        let paths = ["/run/vmcorectl/*.qmp", "/run/incus/*/vmcorectl.qmp"];
        let paths = paths.iter().map(|path| PathPattern::new(path)).collect();
        vec![Self { paths, poll: None }]
    }
}

impl PathPattern {
    fn new(text: &str) -> Self {
        let parts = text.split('/').filter(|part| !part.is_empty()).map(|part| {
            if part.contains('*') {
                Part::Pattern(Wildcard::new(part))
            } else {
                Part::Name(part.to_owned())
            }
        });
        Self { parts: parts.collect() }
    }

    /// The paths that match now, in order. What cannot be read has none.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut left = MAX_SEEN;
        let mut found = vec![PathBuf::from("/")];
        for part in &self.parts {
            match part {
                Part::Name(name) => found.iter_mut().for_each(|path| path.push(name)),
                Part::Pattern(pattern) => {
                    found =
                        found.iter().flat_map(|path| in_folder(path, pattern, &mut left)).collect();
                }
            }
        }
        found.sort();
        found
    }
}

impl TryFrom<String> for PathPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with('/') && !text.ends_with('/') {
            Ok(Self::new(&text))
        } else {
            Err(format!("{text:?} is no absolute path of sockets"))
        }
    }
}

/// What a directory has of a pattern. Names that begin with a dot match only a pattern that does.
fn in_folder(folder: &Path, pattern: &Wildcard, left: &mut usize) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        if *left == 0 {
            break;
        }
        *left = left.saturating_sub(1);
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| !name.starts_with('.') && pattern.matches(name)) {
            found.push(entry.path());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_below_directories_that_match() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/1/x.qmp", "a/2/x.qmp", "a/2/y.sock", "a/.3/x.qmp", "b/x.qmp"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| {
            let pattern = format!("{}/{pattern}", folder.path().display());
            let paths = PathPattern::try_from(pattern).unwrap().paths();
            let names = paths.iter().map(|path| path.strip_prefix(folder.path()).unwrap());
            names.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("a/*/*.qmp"), ["a/1/x.qmp", "a/2/x.qmp"]);
        assert_eq!(found("b/x.qmp"), ["b/x.qmp"]);
        assert_eq!(found("c/*/x"), [""; 0]);
        assert!(PathPattern::try_from("run/*.qmp".to_owned()).is_err());
    }
}
