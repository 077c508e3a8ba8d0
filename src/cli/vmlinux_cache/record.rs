//! Which files were made out of a core, so that the next `debug` of it need not read it for that.
//!
//! ```text
//! $XDG_CACHE_HOME/vmcorectl/cores/<digest>    the names of the files, one a line
//! ```
//!
//! The digest is of the core's file (device, inode, length, times), of this program's, and of what
//! was asked for: another file, or one that was written to, has none. Only files of this machine
//! have one, and not those that a program serves: what `mount` shows has the same numbers each time.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use sha2::{Digest, Sha256};

use super::Kind;
use crate::metadata::core_record::hex;
use crate::regular_file;
use crate::store::single_file::SingleFile;

/// The longest record.
const MAX_LENGTH: u64 = 4096;
/// What `statfs` has as the type of a FUSE file system.
const FUSE: u64 = 0x6573_5546;
/// The program that makes the files.
const PROGRAM: &str = "/proc/self/exe";

/// The record of one core.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
}

impl Record {
    /// Where it is, for a core on this machine.
    pub(super) fn of(core: &Path, kind: Kind, deep: bool, folder: &Path) -> Option<Self> {
        let is_served = u64::try_from(statfs(core).ok()?.f_type) == Ok(FUSE);
        let core = fs::metadata(core).ok().filter(|core| core.is_file() && !is_served)?;
        let program = fs::metadata(PROGRAM).ok()?;
        let mut digest = Sha256::new();
        digest.update(format!("{kind:?} {deep}"));
        for file in [&core, &program] {
            let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
            let place = [file.dev(), file.ino(), file.len()];
            digest.update(format!(" {place:?} {times:?}"));
        }
        Some(Self { path: folder.join(hex(&digest.finalize())) })
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the files that were made.
    pub(super) fn names(&self) -> Option<Vec<Vec<u8>>> {
        let text = regular_file::read_own(&self.path, MAX_LENGTH).ok()?;
        let lines = text.split(|byte| *byte == b'\n').filter(|name| !name.is_empty());
        Some(lines.map(<[u8]>::to_vec).collect())
    }

    /// Replaces it. Without one, the files are found by what the core has.
    pub(super) fn keep(&self, files: &[&Path]) {
        let names = files.iter().filter_map(|file| file.file_name());
        let lines: Vec<_> = names.map(|name| [name.as_bytes(), b"\n"].concat()).collect();
        let _ = fs::remove_file(&self.path);
        let Ok((staged, mut file)) = SingleFile::create(&self.path) else { return };
        if std::io::Write::write_all(&mut file, &lines.concat()).is_ok() {
            let _ = staged.publish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_core_that_was_written_to_has_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("core");
        fs::write(&core, b"core").unwrap();
        let record = |core: &Path| Record::of(core, Kind::Vmlinux, false, folder.path());
        let names = || record(&core).unwrap().names();
        assert_eq!(names(), None);
        let files = ["/cache/vmlinux/a-1", "/cache/modules/a-1-2"].map(Path::new);
        record(&core).unwrap().keep(&files);
        record(&core).unwrap().keep(&files);
        assert_eq!(names(), Some(vec![b"a-1".to_vec(), b"a-1-2".to_vec()]));

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&core, &link).unwrap();
        assert_eq!(record(&link).unwrap().names(), names());
        for (kind, deep) in [(Kind::Isf, false), (Kind::Vmlinux, true)] {
            assert_eq!(Record::of(&core, kind, deep, folder.path()).unwrap().names(), None);
        }
        let copy = folder.path().join("copy");
        fs::copy(&core, &copy).unwrap();
        assert_eq!(record(&copy).unwrap().names(), None);

        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&core).unwrap().set_modified(hour_ago).unwrap();
        assert_eq!(names(), None);
        assert!(record(folder.path()).is_none() && record(&folder.path().join("no")).is_none());
    }
}
