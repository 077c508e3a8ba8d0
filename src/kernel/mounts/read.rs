//! One mount, out of its `struct mount` and its super block.

use vmcore_formats::addr::VirtAddr;

use super::{Mount, path};
use crate::kernel::Kernel;
use crate::kernel::budget::Budget;
use crate::kernel::types::{Object, ObjectError};

/// The longest name of a device. That of an overlay has all of its layers.
const MAX_DEVICE: usize = 4096;
/// The longest name of a file system.
const MAX_KIND: usize = 64;

/// A mount that is read only. Source: `include/linux/mount.h`.
const MNT_READONLY: u64 = 0x40;
/// A super block that is read only. Source: `include/linux/fs.h`.
const SB_RDONLY: u64 = 1;

/// Options of a super block, in the order of `/proc/mounts`. Source: `fs/proc_namespace.c`.
const OF_SUPER_BLOCK: [(u64, &str); 4] =
    [(1 << 4, "sync"), (1 << 7, "dirsync"), (1 << 6, "mand"), (1 << 25, "lazytime")];
/// Options of a mount.
const OF_MOUNT: [(u64, &str); 7] = [
    (0x01, "nosuid"),
    (0x02, "nodev"),
    (0x04, "noexec"),
    (0x08, "noatime"),
    (0x10, "nodiratime"),
    (0x20, "relatime"),
    (0x80, "nosymfollow"),
];

/// Reads a mount, but for how much of it is used. Gives its super block, too.
///
/// Returns `Ok(None)` for the cursor of a reader of `/proc/mounts`, which is in the list since Linux
/// commit 9f6c61f96f2d "proc/mounts: add cursor" (in v5.8) and as long as there is a list.
pub(super) fn mount(
    kernel: &Kernel,
    at: VirtAddr,
    budget: &Budget,
) -> Result<Option<(Mount, VirtAddr)>, ObjectError> {
    let mount = Object::at(kernel, "mount", at)?;
    if mount.pointer("mnt.mnt_sb")?.0 == 0 {
        return Ok(None);
    }
    let super_block = mount.to("mnt.mnt_sb", "super_block")?;
    let text = |at: VirtAddr, max| {
        let text = if at.0 == 0 { String::new() } else { kernel.string(at, max) };
        Some(text).filter(|text| !text.is_empty())
    };
    let kind = super_block.to("s_type", "file_system_type")?.pointer("name")?;
    let kind = text(kind, MAX_KIND).unwrap_or_else(|| "unknown".to_owned());
    let subtype = super_block.pointer("s_subtype").ok().and_then(|at| text(at, MAX_KIND));
    let device = text(mount.pointer("mnt_devname")?, MAX_DEVICE);
    let (flags, of_super_block) = (mount.u64("mnt.mnt_flags")?, super_block.u64("s_flags")?);
    let read_only = flags & MNT_READONLY != 0 || of_super_block & SB_RDONLY != 0;
    let set = |flags: u64, of: &[(u64, &'static str)]| -> Vec<_> {
        of.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, option)| *option).collect()
    };
    let mut options = vec![if read_only { "ro" } else { "rw" }];
    options.extend(set(of_super_block, &OF_SUPER_BLOCK));
    options.extend(set(flags, &OF_MOUNT));
    let read = Mount {
        // What the kernel prints where there is no name.
        device: device.unwrap_or_else(|| "none".to_owned()),
        mount_point: path::of(kernel, &mount, budget),
        kind: subtype.map_or(kind.clone(), |subtype| format!("{kind}.{subtype}")),
        options,
        usage: None,
    };
    Ok(Some((read, super_block.address())))
}
