//! The store's directory, and its default.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};

use super::exit::UsageError;
use crate::remote::address::{Address, RemoteAddress};

/// The `--store` option of every command.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// Directory of the stored crashes; for commands that read, also an address: s3://, gs://, az://
    /// [default: /var/lib/vmcorectl for root, `$XDG_DATA_HOME/vmcorectl` for others]
    #[arg(long, value_name = "DIR", env = "VMCORECTL_STORE", hide_env_values = true, value_hint = clap::ValueHint::DirPath, value_parser = OsStringValueParser::new().map(|text| place(&text)))]
    store: Option<StorePlace>,
}

/// Where a store is.
#[derive(Clone, Debug)]
pub(super) enum StorePlace {
    Folder(PathBuf),
    Remote(RemoteAddress),
}

impl StoreArgs {
    /// Where the store is.
    pub(super) fn place(&self) -> StorePlace {
        self.store.clone().unwrap_or_else(|| StorePlace::Folder(own()))
    }

    /// Whether it was named, by the option or the variable.
    pub(super) fn is_named(&self) -> bool {
        self.store.is_some()
    }

    /// The store's directory. It need not exist.
    ///
    /// # Errors
    /// Fails if the store is elsewhere: not every command reads such stores, and none writes them.
    pub(super) fn folder(&self) -> Result<PathBuf, UsageError> {
        self.folder_or(None)
    }

    /// The same, for a command that reads a configuration.
    pub(super) fn folder_or(&self, configured: Option<PathBuf>) -> Result<PathBuf, UsageError> {
        match &self.store {
            None => Ok(configured.unwrap_or_else(own)),
            Some(StorePlace::Folder(folder)) => Ok(folder.clone()),
            Some(StorePlace::Remote(address)) => Err(UsageError {
                message: format!(
                    "this command needs a store in a directory, not {}",
                    address.shown()
                ),
                hint: Some(
                    "list, group, rm, prune, pin and the commands that read a core take an address"
                        .to_owned(),
                ),
            }),
        }
    }
}

/// A directory, or an address.
pub(super) fn place(text: &OsStr) -> StorePlace {
    match text.to_str().and_then(Address::parse) {
        None => StorePlace::Folder(PathBuf::from(text)),
        Some(Address::Local(path)) => StorePlace::Folder(path),
        Some(Address::Remote(address)) => StorePlace::Remote(address),
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
