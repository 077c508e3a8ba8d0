//! Commands that read a stored core confine themselves before they parse it.
//!
//! They open the core's file first, and need no network, no other program, and no file to
//! write to but what they were asked for. `mount` and `debug` start programs and mount:
//! they are not confined. `mount` has the limit on memory alone. `import` starts the child that
//! makes its report, so that it may start programs; what it may write is confined.

use std::path::Path;

use crate::sandbox::confine;

/// The option of every command that confines itself.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct SandboxArgs {
    /// Parse without limits, to look into a fault of this program
    #[arg(long, hide = true)]
    no_sandbox: bool,
}

impl SandboxArgs {
    /// Confines this process. It may still write beside `output`.
    pub(super) fn confine(self, output: Option<&Path>) {
        if self.no_sandbox {
            return;
        }
        let parent = output.and_then(Path::parent);
        let folder = parent.map(|parent| match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        });
        // An old kernel lacks a part of it; the rest is in force.
        let _ = confine::command(folder.as_slice());
    }

    /// Confines this process, which imports to `destination`: a file, or a store that may not
    /// exist yet.
    pub(super) fn confine_import(self, destination: &Path) {
        if self.no_sandbox {
            return;
        }
        let exists = |folder: &&Path| folder.is_dir();
        let folder = destination.ancestors().find(exists).unwrap_or(Path::new("."));
        let _ = confine::import(folder);
    }

    /// Limits this process, which reads a kernel and not all of a core.
    pub(super) fn limit_kernel_command(self, deep: bool) {
        if !self.no_sandbox {
            let _ = confine::kernel_command(deep);
        }
    }

    /// Limits the memory of this process.
    pub(super) fn limit_memory(self) {
        if !self.no_sandbox {
            let _ = confine::memory();
        }
    }
}
