//! The configuration: one TOML file, read whole or not at all.
//!
//! ```text
//! store, spool      where entries go, and where hooks leave events
//! libvirt, sockets  which guests are watched
//! [[policy]]        what is done with a guest, by its name
//! [guards]          when a core is left out
//! notify, metrics   who is notified
//! encrypt-to        who can read the entries
//! upload            where entries are pushed to
//! ```
//!
//! Needs: the text of a file. Gives: values that are checked, or an error with its line. Each key
//! has a default, so that an empty file is a whole configuration (`samples/vmcorectl.toml`).

mod guards;
mod policy;
mod sockets;
mod values;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::encryption::identities::{Ask, Nobody};
use crate::encryption::{Recipients, guest_alias};
use crate::store::guest_folder::folder_name;
pub use guards::{CrashLoop, Guards, WriteLimit};
pub use policy::{Action, OnCrash, Policy, Rule};
pub use sockets::{PathPattern, Sockets};

/// Where the file is, unless another one is named.
pub const DEFAULT_FILE: &str = "/etc/vmcorectl.toml";
/// The longest file that is read, in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// All of the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// Directory of the stored crashes; `None` for the default of all commands.
    pub store: Option<PathBuf>,
    /// Directory of the events that hooks leave; `None` for the default of `hook`.
    pub spool: Option<PathBuf>,
    /// The libvirt whose domains are watched; `None` for none.
    #[serde(deserialize_with = "values::libvirt")]
    pub libvirt: Option<String>,
    /// Which QMP sockets are watched.
    pub sockets: Vec<Sockets>,
    /// What is done with which guest: of each key, the first rule that has it counts.
    #[serde(rename = "policy")]
    pub rules: Vec<Rule>,
    /// When a core is left out.
    pub guards: Guards,
    /// The command that gets each entry's metadata. Empty for none.
    pub notify: Vec<String>,
    /// Of which crashes it gets them.
    pub notify_once: NotifyOnce,
    /// How long that command may take.
    #[serde(deserialize_with = "values::duration")]
    pub notify_timeout: Duration,
    /// The Prometheus text file; `None` for none.
    pub metrics: Option<PathBuf>,
    /// The address of the store in object storage that entries are pushed to; `None` for none.
    #[serde(deserialize_with = "values::object_storage")]
    pub upload: Option<String>,
    /// How many bytes are pushed in a second, on average; `None` for no limit.
    #[serde(deserialize_with = "values::some_size")]
    pub upload_limit_rate: Option<u64>,
    /// How long a core stays on this machine once it was pushed; `None` for ever.
    #[serde(deserialize_with = "values::some_duration")]
    pub remove_core_after: Option<Duration>,
    /// The recipients that entries are encrypted to. Empty for entries that are not.
    pub encrypt_to: Vec<String>,
    /// What is hidden of that which stays in the clear of an encrypted entry.
    pub hide: Vec<Hide>,
    /// How long a capture may take in all, before it is ended.
    #[serde(deserialize_with = "values::duration")]
    pub capture_limit: Duration,
    /// How long the captures under way may take once the watcher is asked to stop.
    #[serde(deserialize_with = "values::duration")]
    pub stop_within: Duration,
}

/// Of which crashes there is no second notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyOnce {
    /// Of none: there is one of each crash.
    Off,
    /// Of those with a signature that there was one of.
    Signature,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: None,
            spool: None,
            libvirt: Some("qemu:///system".to_owned()),
            sockets: Sockets::made_for_this_program(),
            rules: Vec::new(),
            guards: Guards::default(),
            notify: Vec::new(),
            notify_once: NotifyOnce::Off,
            notify_timeout: Duration::from_secs(30),
            metrics: None,
            upload: None,
            upload_limit_rate: None,
            remove_core_after: None,
            encrypt_to: Vec::new(),
            hide: Vec::new(),
            capture_limit: Duration::from_hours(6),
            // A unit has 90 s to stop, by default.
            stop_within: Duration::from_secs(60),
        }
    }
}

/// What is hidden in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hide {
    /// Names of guest and host.
    Names,
    /// The title of the report.
    Title,
}

impl Hide {
    /// Its name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Title => "title",
        }
    }
}

/// Why a file is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, if one is to blame.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl ConfigError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        "samples/vmcorectl.toml has all keys; `vmcorectl watch --check` checks a file"
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Config {
    /// Reads the text of a file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let error = |line, message| ConfigError { file: file.to_owned(), line, message };
        let config: Self = toml::from_str(text).map_err(|found| {
            let line = found.span().and_then(|span| text.get(..span.start));
            let line = line.map(|before| before.matches('\n').count().saturating_add(1));
            error(line, found.message().trim().replace('\n', ", "))
        })?;
        config.check().map_err(|message| error(None, message))?;
        Ok(config)
    }

    /// What no single key shows.
    fn check(&self) -> Result<(), String> {
        if self.guards.dumping > self.guards.captures {
            return Err(format!(
                "guards.dumping ({}) is more than guards.captures ({})",
                self.guards.dumping, self.guards.captures
            ));
        }
        for (key, path) in
            [("store", &self.store), ("spool", &self.spool), ("metrics", &self.metrics)]
        {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                return Err(format!("{key} is no absolute path"));
            }
        }
        if self.encrypt_to.is_empty() && !self.hide.is_empty() {
            return Err("hide is for entries that are encrypted: encrypt-to is missing".to_owned());
        }
        // A capture that finds a recipient wrong fails while its guest waits.
        if !self.encrypt_to.is_empty() {
            let nobody: Arc<dyn Ask> = Arc::new(Nobody);
            Recipients::of(&self.encrypt_to, &nobody)
                .map_err(|error| format!("encrypt-to: {error}"))?;
        }
        if self.notify.first().is_some_and(|program| !program.starts_with('/')) {
            return Err("notify does not begin with the absolute path of a program".to_owned());
        }
        Ok(())
    }

    /// The directory of a guest in a store: that of an alias, if names are hidden.
    pub fn guest_folder(&self, store: &Path, guest: Option<&str>) -> PathBuf {
        store.join(folder_name(self.guest_name(guest).as_deref()))
    }

    /// What a guest is called where everybody can read it.
    pub fn guest_name(&self, guest: Option<&str>) -> Option<String> {
        match self.hide.contains(&Hide::Names) {
            true => guest.and_then(guest_alias),
            false => guest.map(str::to_owned),
        }
    }

    /// What is done with a guest of these names.
    pub fn policy(&self, names: &[&str]) -> Policy {
        Policy::of(&self.rules, names)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
