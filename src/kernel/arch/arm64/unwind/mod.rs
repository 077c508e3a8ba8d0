//! Callers in arm64 stacks: by frame records, which every kernel of the architecture keeps.

mod calls;
mod frame_record;

use self::frame_record::FrameRecords;
use crate::kernel::Kernel;
use crate::kernel::unwind::{Callers, Failure, Guest, Method, Position, Step, scan};

/// Where `stackframe` is in the `pt_regs` of kernels whose types are not known.
const STACKFRAME: [u64; 3] = [304, 296, 288];

/// How callers are found in this kernel's stacks.
pub(super) fn callers(kernel: &Kernel) -> Box<dyn Callers> {
    let offset = kernel.types().ok().and_then(|types| types.offset("pt_regs", "stackframe").ok());
    Box::new(FrameRecords {
        pac_mask: kernel.info.number("KERNELPACMASK").unwrap_or(0),
        stackframe: offset.map_or_else(|| STACKFRAME.to_vec(), |offset| vec![offset]),
    })
}

impl Callers for FrameRecords {
    fn method<'k>(&'k self, _: &'k Kernel) -> Box<dyn Method + 'k> {
        Box::new(self)
    }

    fn strip(&self, address: u64) -> u64 {
        Self::strip(self, address)
    }
}

impl Method for &FrameRecords {
    fn step(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
        FrameRecords::step(self, guest, from)
    }

    fn guess(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
        scan::step(guest, from, calls::ends_in_call, |word| FrameRecords::strip(self, word))
    }
}
