//! A guest whose memory has pages of each class.
//!
//! Its program and its files are those of `guest.pages=1` in `samples/guest/init`; a balloon and a
//! disk are added here. It panics at an NMI, so that nothing depends on how long
//! the balloon takes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::machine::{self, Machine};

const MEMORY: u64 = 384 << 20;
/// What the balloon leaves.
const LEFT: u64 = MEMORY - (32 << 20);
/// What the disk's one file has.
const FILE: usize = 24 << 20;

/// A guest that waits for its panic, or its stop.
pub(crate) struct Filled {
    pub(crate) machine: Machine,
    _disk: TempDir,
}

impl Filled {
    /// Boots this machine's own guest, or that of a folder, with more options of `boot`.
    pub(crate) fn new(folder: Option<&Path>, more: &[&str]) -> Self {
        machine::wanted();
        let disk = disk();
        let image = disk.path().join("ext4").display().to_string();
        let folder = folder.map(|folder| folder.display().to_string());
        let mut arguments =
            vec!["--memory", "384M", "--disk", &image, "--crash", "none", "--append"];
        arguments.push("guest.files=1 guest.anon=16 guest.pages=1 guest.tell=1 unknown_nmi_panic");
        if let Some(folder) = &folder {
            arguments.extend(["--guest", folder]);
        }
        let (of_boot, of_qemu) = split(more);
        arguments.extend(of_boot);
        arguments.extend(["--", "-device", "virtio-balloon-pci"]);
        arguments.extend(of_qemu);
        let machine = Machine::boot(&arguments);
        // Behind what it says of its memory: all of that is filled.
        machine.await_console("GUEST-TOLD", 1);
        machine.ask("balloon", json!({ "value": LEFT }));
        machine.await_answer("query-balloon", |answer| answer["actual"] == LEFT);
        Self { machine, _disk: disk }
    }

    /// Has it panic.
    pub(crate) fn panics(self) -> Self {
        self.machine.execute("inject-nmi");
        self.machine.await_state("guest-panicked");
        self
    }

    /// Has QEMU stop it, where no device holds a guest that panics.
    pub(crate) fn stops(self) -> Self {
        self.machine.execute("stop");
        self
    }

    /// How many pages the guest counts as damaged.
    pub(crate) fn poisoned(&self) -> u64 {
        let console = self.machine.console();
        let of = |line: &str| {
            let kib = line.trim().strip_prefix("HardwareCorrupted:")?;
            kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        console.lines().find_map(of).unwrap_or(0) / 4
    }
}

/// Options of `boot`, and those of QEMU behind `--`.
fn split<'a>(more: &'a [&'a str]) -> (&'a [&'a str], &'a [&'a str]) {
    let at = more.iter().position(|word| *word == "--").unwrap_or(more.len());
    (&more[..at], more.get(at + 1..).unwrap_or_default())
}

/// A disk of ext4 with a file.
fn disk() -> TempDir {
    let disk = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let files = disk.path().join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("some"), vec![7; FILE]).unwrap();
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-d"]).args([files, disk.path().join("ext4")]).arg("64M");
    let output = mke2fs.output().expect("mke2fs starts");
    assert!(output.status.success(), "{output:?}");
    disk
}
