//! A file system that hangs: whoever writes to it sleeps until it is thawed.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A mounted ext4 of its own. It is thawed and goes when dropped.
#[derive(Debug)]
pub(crate) struct FreezableDisk {
    folder: TempDir,
}

impl FreezableDisk {
    /// Makes and mounts one.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Self { folder };
        let image = disk.folder.path().join("image");
        std::fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("an image");
        std::fs::create_dir(disk.path()).expect("a folder");
        run(Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()));
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// From now on it hangs.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.path()));
    }

    /// It works again.
    #[track_caller]
    pub(crate) fn thaw(&self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(self.path()));
    }
}

impl Drop for FreezableDisk {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(self.path()).output();
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

/// Fails the test where this is not allowed: what it checks would be unchecked.
#[track_caller]
fn run(command: &mut Command) {
    let path = "/usr/sbin:/sbin:/usr/bin:/bin";
    let output = command.env("PATH", path).output().expect("a program of Debian");
    assert!(output.status.success(), "these tests mount and freeze file systems: {output:?}");
}
