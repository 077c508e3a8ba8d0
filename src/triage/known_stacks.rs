//! The stacks out of a core, as the naming of a crash takes them.
//!
//! Needs: the kernel's CPUs, and the stacks of the vCPUs. Gives: the functions that can be relied
//! on, of the CPU that panicked and of each other one. Names nothing ([`super::crash`]).

use super::crash::KnownFrame;
use crate::kernel::Kernel;
use crate::kernel::backtrace::Backtrace;
use crate::kernel::cpus::Cpus;
use crate::kernel::unwind::Trust;
use crate::metadata::Metadata;
use crate::vmcore::Vmcore;

/// How many vCPUs' stacks are looked at.
pub(crate) const MAX_CPUS: usize = 512;

/// The stacks out of a core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownStacks {
    /// Of the CPU that panicked, innermost first; empty if none says that it did, or if its stack
    /// cannot be read.
    pub panicked: Vec<KnownFrame>,
    /// Of each CPU of the kernel whose vCPU is known, by its number.
    pub cpus: Vec<(u32, Vec<KnownFrame>)>,
}

impl KnownStacks {
    /// The stacks of a core.
    #[must_use]
    pub fn read(kernel: &Kernel, core: &Vmcore, metadata: Option<&Metadata>) -> Self {
        let cpus = Cpus::of(kernel, core);
        let vcpus = cpus.cpus.iter().filter_map(|cpu| cpu.vcpu?.0.checked_add(1)).max();
        let count = vcpus.unwrap_or(0).min(MAX_CPUS);
        let stacks: Vec<_> = (0..count).map(|vcpu| Backtrace::of_cpu(kernel, core, vcpu)).collect();
        Self::of(&cpus, metadata, &stacks)
    }

    /// Those of vCPUs that were unwound already, each at its vCPU's symbol.
    #[must_use]
    pub fn of(cpus: &Cpus, metadata: Option<&Metadata>, stacks: &[Backtrace]) -> Self {
        let of = |vcpu: usize| stacks.get(vcpu).map(known).unwrap_or_default();
        let numbered = cpus.cpus.iter().filter_map(|cpu| Some((cpu.number, of(cpu.vcpu?.0))));
        Self {
            panicked: panicked_vcpu(cpus, metadata).map(of).unwrap_or_default(),
            cpus: numbered.collect(),
        }
    }

    /// The stack of the CPU of this number; empty if it is not known.
    pub(crate) fn of_cpu(&self, number: u32) -> &[KnownFrame] {
        let known = self.cpus.iter().find(|(known, _)| *known == number);
        known.map(|(_, stack)| stack.as_slice()).unwrap_or_default()
    }
}

/// The vCPU that panicked: by what the kernel says, or else by what QEMU was told.
pub(crate) fn panicked_vcpu(cpus: &Cpus, metadata: Option<&Metadata>) -> Option<usize> {
    if let Some(number) = cpus.panicked {
        return cpus.numbered(number)?.vcpu.map(|(vcpu, _)| vcpu);
    }
    let reporting = metadata?.panic.as_ref()?.reporting_cpus.as_ref()?;
    usize::try_from(*reporting.first()?).ok()
}

/// What of a stack can be relied on: what a scan alone found may be left over from before.
fn known(stack: &Backtrace) -> Vec<KnownFrame> {
    let sure = stack.frames.iter().filter(|frame| frame.trust != Trust::Scan);
    sure.filter_map(|frame| frame.symbol.as_ref())
        .map(|symbol| KnownFrame { function: symbol.name.clone(), module: symbol.module.clone() })
        .collect()
}
