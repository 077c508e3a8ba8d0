//! `vmcorectl mount`: a stored core as a plain ELF file.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::exit::Exit;
use super::stored_core::CoreArgs;
use super::ui::say;
use crate::interrupt::Interrupt;
use crate::mount::{Contents, Detached, Ended, Mounted, VMCORE_FILE};
use crate::sandbox::limits::{Limits, Reads};
use crate::vmcore::Vmcore;

/// Show a stored core as a plain ELF file, without unpacking it
///
/// DIR shows vmcore, metadata.json and vmcoreinfo.txt, readable by the mounting user
/// only. Runs until interrupted, or until `umount DIR`. Root mounts directly; other
/// users need fusermount3 (Debian's package fuse3).
#[derive(Debug, clap::Args)]
pub(super) struct MountArgs {
    #[command(flatten)]
    core: CoreArgs,
    /// An empty directory
    folder: PathBuf,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

/// Mounts, and waits for the end.
pub(super) fn run(arguments: &MountArgs) -> anyhow::Result<Exit> {
    let limits = Limits::of_stored(0, Reads::Unlimited);
    arguments.core.sandbox().only_limits(&limits);
    let core = arguments.core.open_unconfined()?;
    let interrupt = Interrupt::on_signals().context("cannot install signal handlers")?;
    let tell = |text: &str| {
        if !arguments.quiet {
            say(text)
        }
    };
    let mut mounted = mount(&core, &arguments.folder, &tell)?;
    tell(&format!(
        "{} is there until it is unmounted",
        mounted.folder().join(VMCORE_FILE).display()
    ));
    if mounted.wait(&interrupt)? == Ended::Interrupted {
        let folder = mounted.folder().display().to_string();
        if mounted.unmount()? == Detached::Busy {
            tell(&format!(
                "warning: {folder} was still in use: reads of files still open in it fail now"
            ));
        }
    }
    Ok(Exit::Done)
}

/// Mounts a core, and reports its findings.
pub(super) fn mount(core: &Vmcore, folder: &Path, tell: &dyn Fn(&str)) -> anyhow::Result<Mounted> {
    for finding in core.findings() {
        tell(&format!("warning: {finding}"));
    }
    Ok(Mounted::new(Contents::of(core)?, folder, core.path())?)
}
