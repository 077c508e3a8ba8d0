//! Commands that read a stored core confine themselves before they parse it.
//!
//! They open the core's file first, and need no network, no other program, and no file to
//! write to but what they were asked for. `mount` and `debug` start programs and mount:
//! they are not confined. `mount` has the limits alone. `import` starts the child that
//! makes its report, so that it may start programs; what it may write is confined.
//! `list` and `group` confine themselves before they read the table of a store, which other
//! hosts have written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::interrupt::TimeIsUp;
use crate::regular_file;
use crate::sandbox::confine;
use crate::sandbox::limits::{Limits, Reads, processor_time};
use crate::vmcore::{OpenError, Vmcore, pack_of};

/// The exit code when the processor time is up: nothing that was asked for is complete.
const FAILED: i32 = 1;

/// The option of every command that confines itself.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct SandboxArgs {
    /// Parse without limits, to look into a fault of this program
    #[arg(long, hide = true)]
    no_sandbox: bool,
}

impl SandboxArgs {
    /// Confines this process. It may still write beside each of `outputs`.
    pub(super) fn confine(self, limits: &Limits, outputs: &[&Path]) {
        if self.no_sandbox {
            return;
        }
        let parents = outputs.iter().filter_map(|output| output.parent());
        let folder = |parent: &'_ Path| match parent.as_os_str().is_empty() {
            true => Path::new(".").to_owned(),
            false => parent.to_owned(),
        };
        let folders: Vec<PathBuf> = parents.map(folder).collect();
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        // An old kernel lacks a part of it; the rest is in force.
        saying_when_time_is_up(|| drop(confine::command(limits, &folders)));
    }

    /// Opens a core's file, and confines this process before it parses anything.
    pub(super) fn open(
        self,
        path: &Path,
        reads: Reads,
        outputs: &[&Path],
    ) -> anyhow::Result<Vmcore> {
        let (opened, is_pack) = match regular_file::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match pack_of(path) {
                Some(pack) => (Ok(pack), true),
                None => (Err(error), false),
            },
            opened => (opened, false),
        };
        let opened = opened.and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) =
            opened.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        self.confine(&Limits::of(&metadata, reads), outputs);
        Ok(if is_pack { Vmcore::of_pack(file, path)? } else { Vmcore::of_file(file, path)? })
    }

    /// Confines this process before it parses tables of crashes, which other hosts have written.
    pub(super) fn confine_tables(self) {
        self.confine(&Limits::of_stored(0, Reads::Tables), &[]);
    }

    /// Confines this process, which imports to `destination`: a file, or a store that may not
    /// exist yet.
    pub(super) fn confine_import(self, limits: &Limits, destination: &Path) {
        if self.no_sandbox {
            return;
        }
        let exists = |folder: &&Path| folder.is_dir();
        let folder = destination.ancestors().find(exists).unwrap_or(Path::new("."));
        saying_when_time_is_up(|| drop(confine::import(limits, folder)));
    }

    /// Limits this process, and leaves it its rights.
    pub(super) fn only_limits(self, limits: &Limits) {
        if !self.no_sandbox {
            saying_when_time_is_up(|| drop(confine::only_limits(limits)));
        }
    }
}

/// Limits this process, and has it say so when its processor time is up. Without that, it ends
/// by a signal, with no word.
fn saying_when_time_is_up(confine: impl FnOnce()) {
    // The thread begins after that: what confines this one has to hold for it, too.
    let time = TimeIsUp::expect();
    confine();
    let limit = processor_time();
    let end = move || {
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit} s"));
        let text = format!(
            "error: the processor time{limit} that this may take is used up\n\
             hint: a core that is damaged can take that long; --no-sandbox sets no limit\n"
        );
        // The process ends either way.
        let _ = io::stderr().write_all(text.as_bytes());
        process::exit(FAILED);
    };
    let _ = time.and_then(|time| time.then(end));
}
