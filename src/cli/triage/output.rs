//! Where lines go: files in a directory, or objects below an address. None is written twice.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::remote_store::open_to_write;
use crate::cli::store_folder::StorePlace;
use crate::remote::Channel;
use crate::remote::writing::Put;
use crate::store::publish::put_new;

/// The folder of this version: another one may say something else of the same core.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The place.
pub(super) enum Output {
    Folder(PathBuf),
    Elsewhere(Arc<Channel>),
}

impl Output {
    pub(super) fn open(place: &StorePlace) -> anyhow::Result<Self> {
        Ok(match place {
            StorePlace::Folder(folder) => Self::Folder(folder.join(VERSION)),
            StorePlace::Remote(address) => Self::Elsewhere(open_to_write(address)?),
        })
    }

    /// The lines that are there, by their names.
    pub(super) fn names(&self) -> anyhow::Result<HashSet<String>> {
        match self {
            Self::Folder(folder) => {
                let files = match fs::read_dir(folder) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Ok(HashSet::new());
                    }
                    files => files?,
                };
                let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
                Ok(names.collect())
            }
            Self::Elsewhere(channel) => {
                let names = channel.list_below(VERSION)?.into_iter();
                let names = names.filter_map(|(name, _)| {
                    Some(name.strip_prefix(VERSION)?.trim_start_matches('/').to_owned())
                });
                Ok(names.collect())
            }
        }
    }

    /// Writes a line, unless it is there. Gives whether it was written.
    pub(super) fn put(&self, name: &str, line: &[u8]) -> anyhow::Result<bool> {
        Ok(match self {
            Self::Folder(folder) => put_new(&folder.join(name), |file| file.write_all(line))?,
            Self::Elsewhere(channel) => {
                channel.put_new(&format!("{VERSION}/{name}"), line)? == Put::Created
            }
        })
    }
}
