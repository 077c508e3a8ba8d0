//! How a command finds the guest's kernel, and how much it reads for that.

use crate::kernel::find::SearchDepth;
use crate::kernel::{Kernel, KernelError};
use crate::sandbox::limits::Reads;
use crate::vmcore::Vmcore;

/// The option of every command that reads the guest's kernel.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct KernelArgs {
    /// Search all memory for the kernel if neither the core's notes nor its vCPUs lead to it
    ///
    /// Without this, 1 GiB is searched: the first and last parts of memory. To search all takes
    /// about 20 minutes for a TiB. Reading does not end where a file describes far more than
    /// it holds, either.
    #[arg(long)]
    deep: bool,
}

/// The option of every command that reads all of a core.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct ReadAllArgs {
    /// Read all, even if the file describes far more memory than it holds
    ///
    /// Without this, reading ends after 64 times the length of the file, and not before 8 GiB:
    /// a file of 4 MiB can describe terabytes. Memory of zeros does not count.
    #[arg(long)]
    deep: bool,
}

impl ReadAllArgs {
    /// What is read of a core.
    pub(super) fn reads(self) -> Reads {
        if self.deep { Reads::Unlimited } else { Reads::All }
    }

    /// Lifts the bound on what is read of a core, if that was asked for.
    pub(super) fn apply(self, core: &Vmcore) {
        if self.deep {
            core.read_without_limit();
        }
    }
}

impl KernelArgs {
    /// The kernel of a core.
    pub(super) fn find(self, core: &Vmcore) -> Result<Kernel, KernelError> {
        ReadAllArgs { deep: self.deep }.apply(core);
        Kernel::find_in(core, self.depth())
    }

    /// What is read of a core for it.
    pub(super) fn reads(self) -> Reads {
        if self.deep { Reads::Unlimited } else { Reads::Kernel }
    }

    /// Whether all memory is searched.
    pub(super) fn is_deep(self) -> bool {
        self.deep
    }

    /// How much of memory is searched.
    pub(super) fn depth(self) -> SearchDepth {
        if self.deep { SearchDepth::All } else { SearchDepth::Bounded }
    }
}
