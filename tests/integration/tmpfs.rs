//! A small file system of its own, to fill up or to refuse writes.

use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use tempfile::TempDir;

use crate::lacking::lacking;

/// A mounted tmpfs. It goes when dropped.
#[derive(Debug)]
pub(crate) struct Tmpfs {
    folder: TempDir,
}

impl Tmpfs {
    /// Mounts a tmpfs of this size in bytes. Gives none where this is not allowed.
    pub(crate) fn of_size(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let options = std::ffi::CString::new(format!("size={bytes},mode=700")).unwrap();
        let mounted =
            mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), options.as_c_str());
        if mounted.is_err() {
            lacking("the right to mount file systems");
        }
        mounted.ok().map(|()| Self { folder })
    }

    /// Forbids writes from now on.
    pub(crate) fn make_read_only(&self) {
        mount_remount(self.folder.path(), MountFlags::RDONLY, c"").expect("a remount");
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // The store's files may be open for a moment in a program that ends.
        let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}
