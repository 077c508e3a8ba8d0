//! The store's directory, and its default.

use std::path::{Path, PathBuf};

use crate::remote::address::Address;

/// The `--store` option of every command.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// Directory of the stored crashes
    /// [default: /var/lib/vmcorectl for root, `$XDG_DATA_HOME/vmcorectl` for others]
    #[arg(long, value_name = "DIR", env = "VMCORECTL_STORE", hide_env_values = true, value_parser = folder)]
    store: Option<PathBuf>,
}

impl StoreArgs {
    /// The store's directory. It need not exist.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder_or(None)
    }

    /// The same, for a command that reads a configuration.
    pub(super) fn folder_or(&self, configured: Option<PathBuf>) -> PathBuf {
        self.store.clone().or(configured).unwrap_or_else(own)
    }
}

/// A directory, which may be typed as an address.
fn folder(text: &str) -> Result<PathBuf, String> {
    match Address::parse(text) {
        None => Ok(PathBuf::from(text)),
        Some(Address::Local(path)) => Ok(path),
        Some(Address::Remote(_)) => {
            Err("a store has to be a directory; of those elsewhere, ENTRY can be the address"
                .to_owned())
        }
    }
}

/// The store of a command that has no `--store`.
pub(super) fn by_default() -> PathBuf {
    let named = std::env::var_os("VMCORECTL_STORE").filter(|store| !store.is_empty());
    named.map_or_else(own, PathBuf::from)
}

fn own() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/vmcorectl");
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = || variable("HOME").map(|home| Path::new(&home).join(".local/share"));
    let data = variable("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    data.unwrap_or_else(std::env::temp_dir).join("vmcorectl")
}
