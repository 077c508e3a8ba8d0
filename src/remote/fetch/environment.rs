//! The variables that configure access to object storage.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// What the names of variables that matter begin with.
const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
/// Other variables that matter.
const NAMES: [&str; 4] = ["HOME", "XDG_CACHE_HOME", "VMCORECTL_CACHE", "STORAGE_EMULATOR_HOST"];

/// The variables. Has secrets, which it does not print.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    /// Those of all variables that matter.
    pub fn of(all: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let text = all.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let matters = |name: &str| {
            NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        let set = text.filter(|(name, value)| matters(name) && !value.is_empty());
        Self { variables: set.collect() }
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(set, _)| set == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A variable's file, else one below the home directory.
    pub(super) fn file(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.get(name).map(PathBuf::from);
        named.or_else(|| Some(Path::new(self.get("HOME")?).join(below_home)))
    }

    /// What decides which server an address means, as a text.
    pub(super) fn server(&self) -> String {
        const WORDS: [&str; 6] = ["ENDPOINT", "PROFILE", "CONFIG", "EMULATOR", "URL", "ACCOUNT"];
        // Where a server is, and whose of its buckets; no key.
        let decides =
            |name: &str| WORDS.iter().any(|word| name.contains(word)) && !name.contains("KEY");
        let deciding = self.variables.iter().filter(|(name, _)| decides(name));
        let mut lines: Vec<_> = deciding.map(|(name, value)| format!("{name}={value}")).collect();
        lines.sort();
        lines.join("\n")
    }

    /// All variables of a provider, by their names in lower case.
    pub(super) fn options(&self, prefix: &str) -> Vec<(String, String)> {
        let of_provider = self.variables.iter().filter(|(name, _)| name.starts_with(prefix));
        of_provider.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.variables.iter().map(|(name, _)| name)).finish()
    }
}
