//! Commands that read a stored core confine themselves before they parse it.
//!
//! They open the core's file first, and need no network, no other program, and no file to
//! write to but what they were asked for. `mount` and `debug` start programs and mount:
//! they are not confined. `mount` has the limits alone. `import` starts the child that
//! makes its report, so that it may start programs; what it may write is confined.

use std::path::Path;

use crate::sandbox::confine;
use crate::sandbox::limits::Limits;

/// The option of every command that confines itself.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct SandboxArgs {
    /// Parse without limits, to look into a fault of this program
    #[arg(long, hide = true)]
    no_sandbox: bool,
}

impl SandboxArgs {
    /// Confines this process. It may still write beside `output`.
    pub(super) fn confine(self, limits: &Limits, output: Option<&Path>) {
        if self.no_sandbox {
            return;
        }
        let parent = output.and_then(Path::parent);
        let folder = parent.map(|parent| match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        });
        // An old kernel lacks a part of it; the rest is in force.
        let _ = confine::command(limits, folder.as_slice());
    }

    /// Confines this process, which imports to `destination`: a file, or a store that may not
    /// exist yet.
    pub(super) fn confine_import(self, limits: &Limits, destination: &Path) {
        if self.no_sandbox {
            return;
        }
        let exists = |folder: &&Path| folder.is_dir();
        let folder = destination.ancestors().find(exists).unwrap_or(Path::new("."));
        let _ = confine::import(limits, folder);
    }

    /// Limits this process, and leaves it its rights.
    pub(super) fn only_limits(self, limits: &Limits) {
        if !self.no_sandbox {
            let _ = confine::only_limits(limits);
        }
    }
}
