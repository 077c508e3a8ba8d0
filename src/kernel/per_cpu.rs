//! Where a per-CPU variable is of one CPU.
//!
//! `address = symbol + __per_cpu_offset[cpu]`, modulo 2^64. The symbol is an address in the image;
//! on x86-64 before Linux commit 9d7de2aa8b41 "x86/percpu/64: Use relative percpu offsets" (in
//! v6.15) it is an offset from 0. The sum is the same.
//! A pointer to per-CPU memory is resolved in the same way.

use vmcore_formats::addr::VirtAddr;

use super::Kernel;

/// The most CPUs that are looked at: as many as a kernel has room for.
const MAX_CPUS: u32 = 8192;

/// The possible CPUs, and where their per-CPU memory is.
#[derive(Clone, Debug, Default)]
pub(super) struct PerCpu {
    /// The CPUs that it has, or could have.
    pub(super) possible: Vec<u32>,
    /// What is added to the address of a per-CPU variable, by CPU.
    pub(super) offsets: Vec<u64>,
}

impl PerCpu {
    pub(super) fn of(kernel: &Kernel) -> Self {
        let mask = kernel.types().ok().and_then(|types| types.size("cpumask").ok());
        mask.and_then(|length| Self::read(kernel, length)).unwrap_or_default()
    }

    /// By the length of the kernel's masks of CPUs, in bytes.
    pub(super) fn read(kernel: &Kernel, mask_length: u64) -> Option<Self> {
        let table = kernel.symbol("__per_cpu_offset")?;
        let length = mask_length.min(u64::from(MAX_CPUS / 8));
        let mask = kernel.symbol("__cpu_possible_mask")?;
        let mask = kernel.space.read_vec(mask, usize::try_from(length).ok()?).ok()?;
        // Words of eight bytes, the lowest bit first: on little-endian machines, bytes.
        let bit = |cpu: u32| {
            let byte = usize::try_from(cpu / 8).ok().and_then(|byte| mask.get(byte))?;
            Some(byte.wrapping_shr(cpu % 8) & 1 == 1)
        };
        let possible: Vec<_> = (0..MAX_CPUS).filter(|cpu| bit(*cpu) == Some(true)).collect();
        let count = usize::try_from(possible.last()?.saturating_add(1)).ok()?;
        let bytes = kernel.space.read_vec(table, count.checked_mul(8)?).ok()?;
        let offset = |bytes: &[u8]| kernel.space.endian().number(bytes);
        Some(Self { possible, offsets: bytes.chunks_exact(8).filter_map(offset).collect() })
    }
}

impl Kernel {
    /// Where a per-CPU variable is of this CPU.
    ///
    /// Returns `None` if the kernel does not tell, or does not know the CPU.
    pub fn per_cpu(&self, symbol: VirtAddr, cpu: u32) -> Option<VirtAddr> {
        Some(symbol.wrapping_add(self.per_cpu_offset(cpu)?))
    }

    /// The numbers of the CPUs that the kernel has, or could have. Those that are online are
    /// others: a panic takes all but one offline. Empty if the kernel does not tell.
    pub fn possible_cpus(&self) -> &[u32] {
        &self.cpu_areas().possible
    }

    /// What is added to the address of a per-CPU variable.
    pub(super) fn per_cpu_offset(&self, cpu: u32) -> Option<u64> {
        self.cpu_areas().offsets.get(usize::try_from(cpu).ok()?).copied()
    }
}
