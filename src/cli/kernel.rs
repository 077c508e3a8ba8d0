//! How a command finds the guest's kernel.

use crate::kernel::find::SearchDepth;
use crate::kernel::{Kernel, KernelError};
use crate::vmcore::Vmcore;

/// The option of every command that reads the guest's kernel.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct KernelArgs {
    /// Search all memory for the kernel if neither the core's notes nor its vCPUs lead to it
    ///
    /// Without this, 1 GiB is searched: the first and last parts of memory. To search all takes
    /// about 20 minutes for a TiB.
    #[arg(long)]
    deep: bool,
}

impl KernelArgs {
    /// The kernel of a core.
    pub(super) fn find(self, core: &Vmcore) -> Result<Kernel, KernelError> {
        Kernel::find_in(core, self.depth())
    }

    /// How much of memory is searched.
    pub(super) fn depth(self) -> SearchDepth {
        if self.deep { SearchDepth::All } else { SearchDepth::Bounded }
    }
}
