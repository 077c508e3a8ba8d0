//! Trampolines of ftrace: copies of its own code, one for each user.
//!
//! ```text
//! ftrace_ops_trampoline_list ──► ftrace_ops ──► trampoline, trampoline_size
//! ```
//!
//! A trampoline is a copy of `ftrace_caller`, or of `ftrace_regs_caller` if its user wants all
//! registers. Its first bytes show which: ftrace patches only what follows them.

use vmcore_formats::addr::VirtAddr;

use crate::kernel::Kernel;
use crate::kernel::budget::Budget;
use crate::kernel::types::{ListOf, Object};

/// How many bytes are compared.
const FIRST: usize = 12;

/// Where code was copied to, and what it is a copy of, by ascending address.
#[derive(Debug, Default)]
pub(super) struct Trampolines(Vec<Trampoline>);

#[derive(Debug)]
struct Trampoline {
    start: VirtAddr,
    size: u64,
    original: VirtAddr,
}

impl Trampolines {
    /// Those of a kernel. There are none, if the kernel does not tell.
    pub(super) fn of(kernel: &Kernel) -> Self {
        Self::read(kernel).unwrap_or_default()
    }

    fn read(kernel: &Kernel) -> Option<Self> {
        let head = kernel.symbol("ftrace_ops_trampoline_list")?;
        let originals: Vec<_> = ["ftrace_caller", "ftrace_regs_caller"]
            .into_iter()
            .filter_map(|name| {
                let at = kernel.symbol(name)?;
                Some((at, kernel.space.read_vec(at, FIRST).ok()?))
            })
            .collect();
        let of = ListOf { structure: "ftrace_ops", member: "list", what: "trampolines of ftrace" };
        let all = kernel.list(head, of, &Budget::of_walk()).ok()?.nodes;
        let trampoline = |at: VirtAddr| {
            let ops = Object::at(kernel, "ftrace_ops", at).ok()?;
            let start = ops.pointer("trampoline").ok()?;
            let size = ops.u64("trampoline_size").ok()?;
            let first = kernel.space.read_vec(start, FIRST).ok()?;
            let (original, _) = originals.iter().find(|(_, bytes)| *bytes == first)?;
            Some(Trampoline { start, size, original: *original })
        };
        let mut all: Vec<_> = all.into_iter().filter_map(trampoline).collect();
        all.sort_by_key(|trampoline| trampoline.start);
        Some(Self(all))
    }

    /// What an address in a copy is a copy of.
    pub(super) fn original(&self, ip: VirtAddr) -> Option<VirtAddr> {
        let index = self.0.partition_point(|trampoline| trampoline.start <= ip).checked_sub(1)?;
        let trampoline = self.0.get(index)?;
        let offset = ip.0.wrapping_sub(trampoline.start.0);
        (offset < trampoline.size).then(|| trampoline.original.wrapping_add(offset))
    }
}
