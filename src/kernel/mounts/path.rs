//! The path of a mount point.
//!
//! ```text
//! mount ──mnt_mountpoint──► dentry ──d_parent──► ... the root of what it is mounted on
//!       ──mnt_parent──► that mount, and so on ... one that is its own parent
//! ```

use crate::kernel::Kernel;
use crate::kernel::budget::{Budget, NODE};
use crate::kernel::types::Object;

/// The longest name of a file. Linux has 255 bytes.
const MAX_NAME: usize = 256;
/// The longest path. Linux has `PATH_MAX`.
const MAX_LENGTH: usize = 4096;
/// The path of a mount point. `None` if the way to the root cannot be read, is longer than a
/// path may be, or takes more than is left of the budget.
pub(super) fn of(kernel: &Kernel, mount: &Object<'_>, budget: &Budget) -> Option<String> {
    let mut names = Vec::new();
    let mut length: usize = 0;
    let mut mount = Object::at(kernel, "mount", mount.address()).ok()?;
    loop {
        budget.take(NODE).ok()?;
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
            if above.address() == dentry.address() {
                return None;
            }
            let name = kernel.string(dentry.pointer("d_name.name").ok()?, MAX_NAME);
            // Each name has a slash before it, an empty one of a damaged dentry, too: so a circle ends.
            length = length.saturating_add(name.len()).saturating_add(1);
            if length > MAX_LENGTH {
                return None;
            }
            budget.take(NODE).ok()?;
            names.push(name);
            dentry = above;
        }
        mount = parent;
    }
}
