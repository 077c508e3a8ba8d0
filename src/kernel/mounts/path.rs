//! The path of a mount point.
//!
//! ```text
//! mount ──mnt_mountpoint──► dentry ──d_parent──► ... the root of what it is mounted on
//!       ──mnt_parent──► that mount, and so on ... one that is its own parent
//! ```

use crate::kernel::Kernel;
use crate::kernel::types::Object;

/// The longest name of a file. Linux has 255 bytes.
const MAX_NAME: usize = 256;
/// The most names, and the most mounts on the way. A path has 4096 bytes.
const MAX_STEPS: usize = 2048;

/// The path of a mount point. `None` if the way to the root cannot be read.
pub(super) fn of(kernel: &Kernel, mount: &Object<'_>) -> Option<String> {
    let mut names = Vec::new();
    let mut mount = Object::at(kernel, "mount", mount.address()).ok()?;
    for _ in 0..MAX_STEPS {
        let parent = mount.to("mnt_parent", "mount").ok()?;
        if parent.address() == mount.address() {
            names.reverse();
            return Some(format!("/{}", names.join("/")));
        }
        let root = parent.pointer("mnt.mnt_root").ok()?;
        let mut dentry = mount.to("mnt_mountpoint", "dentry").ok()?;
        while dentry.address() != root {
            let above = dentry.to("d_parent", "dentry").ok()?;
            // A dentry that is its own parent is the root of its file system: the mount shows
            // another part of that.
            if above.address() == dentry.address() || names.len() >= MAX_STEPS {
                return None;
            }
            names.push(kernel.string(dentry.pointer("d_name.name").ok()?, MAX_NAME));
            dentry = above;
        }
        mount = parent;
    }
    None
}
