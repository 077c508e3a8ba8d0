//! The user and the password for libvirt, from the file in which its own clients have them.
//!
//! ```text
//! [credentials-NAME]              [auth-libvirt-localhost]      or [auth-libvirt-default]
//! authname=USER                   credentials=NAME
//! password=PASSWORD
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::regular_file;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Those of the first file that can be read, as for libvirt's clients.
    pub(super) fn find(files: &[PathBuf]) -> Option<Self> {
        let bytes = files.iter().find_map(|file| regular_file::read(file, MAX_FILE).ok())?;
        Self::of_local_libvirt(&String::from_utf8_lossy(&bytes))
    }

    fn of_local_libvirt(text: &str) -> Option<Self> {
        let mut groups: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        let mut group = "";
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                group = name;
            } else if let Some((key, value)) = line.split_once('=') {
                groups.entry(group).or_default().insert(key.trim(), value.trim());
            }
        }
        let of = |host: &str| groups.get(format!("auth-libvirt-{host}").as_str());
        let name = of("localhost").or_else(|| of("default"))?.get("credentials")?;
        let found = groups.get(format!("credentials-{name}").as_str())?;
        let (user, password) = (found.get("authname")?, found.get("password")?);
        Some(Self { user: (*user).to_owned(), password: (*password).to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# of this host\n[credentials-a]\nauthname = vdsm@ovirt\npassword=p=1\n\
        [credentials-b]\nauthname=b\n[auth-libvirt-default]\ncredentials=b\n\
        [auth-libvirt-localhost]\ncredentials=a\n";

    #[test]
    fn the_local_libvirt_has_its_own_or_the_default_ones() {
        let found = Credentials::of_local_libvirt(FILE).unwrap();
        assert_eq!((found.user.as_str(), found.password.as_str()), ("vdsm@ovirt", "p=1"));
        assert!(!format!("{found:?}").contains("p=1"));
        let default = FILE.replace("-localhost", "-other").replace("=b", "=a");
        assert_eq!(Credentials::of_local_libvirt(&default), Some(found));
        for text in ["", "[auth-libvirt-default]\ncredentials=x\n", "[", "=\n[]"] {
            assert_eq!(Credentials::of_local_libvirt(text), None);
        }
    }

    #[test]
    fn the_first_file_that_is_there_decides() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth.conf");
        std::fs::write(&file, FILE).unwrap();
        let files = [folder.path().join("none"), folder.path().to_owned(), file];
        assert!(Credentials::find(&files).is_some());
        assert!(Credentials::find(&files[..2]).is_none());
    }
}
