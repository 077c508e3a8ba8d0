//! The file systems that are mounted, as `/proc/mounts` and `df` show them.
//!
//! ```text
//! task ──nsproxy──► mnt_ns ──list, or the tree `mounts`──► mount
//! mount ──mnt.mnt_sb──► super_block ──s_type──► the file system's name and module
//!       ──mnt_mountpoint──► dentry ──d_parent──► ... the mount point's path
//! ```
//!
//! Needs: types, and the first task. Gives: what is mounted in the first mount namespace;
//! containers have their own. Size and use of tmpfs, ext4 and XFS, whose counts are in memory; by the
//! types of the driver's module if it is one. What cannot be read is a finding.
//! Source: Linux commit 2eea9ce4310d "mounts: keep list of mounts in an rbtree" (in v6.8),
//! `fs/mount.h`, `fs/proc_namespace.c`.

mod path;
mod read;
mod usage;

use std::collections::HashMap;

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::budget::Budget;
use super::types::{ListOf, Object, ObjectError, Tree, Types};

pub use usage::Usage;

/// The most mounts that are looked at.
const MAX_MOUNTS: usize = 1 << 14;
/// The most findings that are kept.
const MAX_FINDINGS: usize = 32;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted: a device's name, or whatever the file system takes for it.
    pub device: String,
    /// Where it is mounted; `None` if the way there cannot be read.
    pub mount_point: Option<String>,
    /// The file system's name: `ext4`, `fuse.sshfs`.
    pub kind: String,
    /// Options that every file system has, in the order of `/proc/mounts`; the first is `ro` or
    /// `rw`.
    pub options: Vec<&'static str>,
    /// How much of it is used, if the kernel keeps count.
    pub usage: Option<Usage>,
}

/// The file systems that are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The mounts, in the order of `/proc/mounts`.
    pub mounts: Vec<Mount>,
    /// What is missing or wrong, as sentences.
    pub findings: Vec<String>,
}

impl Mounts {
    /// Reads them.
    pub fn of(kernel: &Kernel) -> Self {
        let mut all = Self::default();
        let read = kernel.types().map_err(|error| ObjectError::from(error.clone()));
        if let Err(error) = read.and_then(|types| all.read(kernel, types)) {
            all.find(format!("mounted file systems cannot be listed: {error}"));
        }
        all
    }

    fn read(&mut self, kernel: &Kernel, types: &Types) -> Result<(), ObjectError> {
        let Some(namespace) = namespace(kernel) else {
            self.find(
                "mounted file systems cannot be listed: no task has their namespace".to_owned(),
            );
            return Ok(());
        };
        // Of mounts, the names of their paths, and the parts of their usage on each CPU.
        let budget = Budget::of_walk();
        let (all, finding) = if types.has("mnt_namespace", "list") {
            let of = ListOf { structure: "mount", member: "mnt_list", what: "mounts" };
            let list = kernel.list(namespace.address_of("list")?, of, &budget)?;
            (list.nodes, list.finding)
        } else {
            let root = namespace.address_of("mounts")?;
            let tree = Tree::walk(kernel, root, "mounts", MAX_MOUNTS, &budget);
            let offset = types.offset("mount", "mnt_node")?;
            let mount = |node: &VirtAddr| node.wrapping_sub(offset);
            (tree.nodes.iter().map(mount).collect(), tree.finding)
        };
        finding.into_iter().for_each(|finding| self.find(finding));
        let mut usages = HashMap::new();
        let mut count: u64 = 0;
        for at in all.into_iter().take(MAX_MOUNTS) {
            match read::mount(kernel, at, &budget) {
                Ok(None) => continue,
                Ok(Some((mut mount, super_block))) => {
                    let usage = usages.entry(super_block).or_insert_with(|| {
                        let usage = usage::of(kernel, super_block, &budget);
                        usage
                            .map_err(|error| {
                                self.find(format!(
                                    "how much of {} is used cannot be read: {error}",
                                    mount.device
                                ))
                            })
                            .unwrap_or_default()
                    });
                    mount.usage = *usage;
                    if mount.mount_point.is_none() {
                        self.find(format!("where {} is mounted cannot be read", mount.device));
                    }
                    self.mounts.push(mount);
                }
                Err(error) => self.find(format!("the mount at {at} cannot be read: {error}")),
            }
            count = count.saturating_add(1);
        }
        // Kernels with a list have the number in `mounts`, which is the tree in others.
        let expected = namespace.u64("nr_mounts").or_else(|_| namespace.u64("mounts"))?;
        if expected != count {
            self.find(format!("the kernel counts {expected} mounts, and {count} were found"));
        }
        Ok(())
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

/// The namespace of the idle task, which never leaves the first one; else that of process 1.
fn namespace(kernel: &Kernel) -> Option<Object<'_>> {
    let tasks = &kernel.tasks().tasks;
    [0, 1].iter().find_map(|pid| {
        let task = tasks.iter().find(|task| task.pid == *pid)?;
        let task = Object::at(kernel, "task_struct", task.at).ok()?;
        task.to("nsproxy", "nsproxy").ok()?.to("mnt_ns", "mnt_namespace").ok()
    })
}
