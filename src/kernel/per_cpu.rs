//! Where a per-CPU variable is of one CPU.
//!
//! `address = symbol + __per_cpu_offset[cpu]`, modulo 2^64. On x86-64 before Linux 6.15 the
//! symbol is a small number, else it is an address in the image: the sum is the same.

use vmcore_formats::addr::VirtAddr;

use super::Kernel;

/// The most CPUs that a kernel has room for.
pub(super) const MAX_CPUS: u32 = 8192;

impl Kernel {
    /// Where a per-CPU variable is of this CPU.
    ///
    /// Returns `None` if the kernel does not tell, or the CPU has none.
    #[must_use]
    pub fn per_cpu(&self, symbol: VirtAddr, cpu: u32) -> Option<VirtAddr> {
        Some(VirtAddr(symbol.0.wrapping_add(self.per_cpu_offset(cpu)?)))
    }

    /// What is added to the address of a per-CPU variable.
    pub(super) fn per_cpu_offset(&self, cpu: u32) -> Option<u64> {
        if cpu >= MAX_CPUS {
            return None;
        }
        let table = self.symbol("__per_cpu_offset")?;
        let at = VirtAddr(table.0.checked_add(u64::from(cpu).checked_mul(8)?)?);
        self.space.read_u64(at).ok()
    }
}
