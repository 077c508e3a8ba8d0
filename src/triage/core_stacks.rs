//! The stacks of a core's CPUs, as [`super::crash`] uses them.
//!
//! Needs: the kernel's CPUs, and the stacks of the vCPUs. Gives: the reliable functions of the CPU
//! that panicked and of each other one.

use crate::kernel::Kernel;
use crate::kernel::backtrace::Backtrace;
use crate::kernel::cpus::Cpus;
use crate::kernel::unwind::Trust;
use crate::metadata::Metadata;
use crate::vmcore::Vmcore;
use crate::vmcore::registers::Registers;

/// The most vCPUs whose stacks are unwound.
pub(crate) const MAX_CPUS: usize = 512;

/// A function on a stack that was unwound from memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreFrame {
    /// Its name, as the kernel's symbols have it.
    pub function: String,
    /// The module that it is in.
    pub module: Option<String>,
}

/// The stacks of a core's CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreStacks {
    /// That of the CPU that panicked, innermost first; empty if that CPU is not known or its stack
    /// cannot be read.
    pub panicked: Vec<CoreFrame>,
    /// Those of the CPUs whose vCPUs are known, by the kernel's numbers.
    pub cpus: Vec<(u32, Vec<CoreFrame>)>,
}

impl CoreStacks {
    /// Unwinds the stacks of a core.
    pub fn read(kernel: &Kernel, core: &Vmcore, metadata: Option<&Metadata>) -> Self {
        let cpus = Cpus::of(kernel, core);
        let vcpus = cpus.cpus.iter().filter_map(|cpu| cpu.vcpu?.0.checked_add(1)).max();
        let count = vcpus.unwrap_or(0).min(MAX_CPUS);
        let notes = Registers::of(core.notes(), core.identity()).cpus;
        let stacks: Vec<_> =
            (0..count).map(|vcpu| Backtrace::of_vcpu(kernel, &notes, vcpu)).collect();
        Self::of(&cpus, metadata, &stacks)
    }

    /// Takes stacks that were unwound already, in the order of the vCPUs.
    pub fn of(cpus: &Cpus, metadata: Option<&Metadata>, stacks: &[Backtrace]) -> Self {
        let of = |vcpu: usize| stacks.get(vcpu).map(reliable).unwrap_or_default();
        let numbered = cpus.cpus.iter().filter_map(|cpu| Some((cpu.number, of(cpu.vcpu?.0))));
        Self {
            panicked: panicked_vcpu(cpus, metadata).map(of).unwrap_or_default(),
            cpus: numbered.collect(),
        }
    }

    /// The stack of the CPU of this number; empty if it is not known.
    pub(crate) fn of_cpu(&self, number: u32) -> &[CoreFrame] {
        let found = self.cpus.iter().find(|(cpu, _)| *cpu == number);
        found.map(|(_, stack)| stack.as_slice()).unwrap_or_default()
    }
}

/// The vCPU that panicked, as the kernel has it, or else as the panic event has it.
pub(crate) fn panicked_vcpu(cpus: &Cpus, metadata: Option<&Metadata>) -> Option<usize> {
    if let Some(number) = cpus.panicked {
        return cpus.numbered(number)?.vcpu.map(|(vcpu, _)| vcpu);
    }
    let reporting = metadata?.panic.as_ref()?.reporting_cpus.as_ref()?;
    usize::try_from(*reporting.first()?).ok()
}

/// The frames that can be relied on: a return address that only a scan found may be left over.
fn reliable(stack: &Backtrace) -> Vec<CoreFrame> {
    let reliable = stack.frames.iter().filter(|frame| frame.trust != Trust::Scan);
    reliable
        .filter_map(|frame| frame.symbol.as_ref())
        .map(|symbol| CoreFrame { function: symbol.name.clone(), module: symbol.module.clone() })
        .collect()
}
