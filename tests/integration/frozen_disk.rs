//! A file system that hangs: whoever writes to it sleeps until it is thawed.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::lacking::lacking;

/// A mounted ext4 of its own. It is thawed and goes when dropped.
#[derive(Debug)]
pub(crate) struct FreezableDisk {
    folder: TempDir,
}

impl FreezableDisk {
    /// Makes and mounts one. Gives none where this is not allowed.
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Self { folder };
        let image = disk.folder.path().join("image");
        std::fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("an image");
        std::fs::create_dir(disk.path()).expect("a folder");
        let mounted = run(Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&image))
            && run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()));
        if !mounted {
            lacking("mke2fs, or the right to mount file systems");
        }
        mounted.then_some(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// From now on it hangs.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        assert!(run(Command::new("fsfreeze").arg("--freeze").arg(self.path())), "it freezes");
    }

    /// It works again.
    #[track_caller]
    pub(crate) fn thaw(&self) {
        assert!(run(Command::new("fsfreeze").arg("--unfreeze").arg(self.path())), "it thaws");
    }
}

impl Drop for FreezableDisk {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(self.path()).output();
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

/// Whether a program of Debian is there, and does it.
fn run(command: &mut Command) -> bool {
    let path = "/usr/sbin:/sbin:/usr/bin:/bin";
    command.env("PATH", path).output().is_ok_and(|output| output.status.success())
}
