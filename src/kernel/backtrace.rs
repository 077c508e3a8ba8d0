//! The stack of a vCPU or of a task.

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::unwind::start::{self, StartError};
use super::unwind::{StackEnd, StackFrame};
use crate::vmcore::Vmcore;
use crate::vmcore::registers::Registers;

/// A stack, from what was running down to where it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backtrace {
    /// The functions, the one that ran first. None if a vCPU was in user code.
    pub frames: Vec<StackFrame>,
    /// Where it ended.
    pub end: StackEnd,
    /// What is missing or doubtful, as sentences.
    pub findings: Vec<String>,
}

impl Backtrace {
    /// The stack of a vCPU, by its place among the core's notes.
    #[must_use]
    pub fn of_cpu(kernel: &Kernel, core: &Vmcore, vcpu: usize) -> Self {
        let unwinder = kernel.unwinder();
        let all = Registers::of(core.notes(), core.identity).cpus;
        let cpu = all.iter().find(|cpu| cpu.number == vcpu);
        let start = cpu.ok_or(StartError::NoVcpu(vcpu));
        match start.and_then(|cpu| start::of_vcpu(unwinder, cpu)) {
            Ok(Some(start)) => unwinder.unwind(kernel, start),
            Ok(None) => Self { frames: Vec::new(), end: StackEnd::UserMode, findings: Vec::new() },
            Err(error) => Self::none(&error),
        }
    }

    /// The stack of a task that does not run, by the address of its `task_struct`.
    ///
    /// Of one that runs, this would be a stack of long ago.
    #[must_use]
    pub fn of_sleeper(kernel: &Kernel, task: VirtAddr) -> Self {
        let unwinder = kernel.unwinder();
        match start::of_sleeper(kernel, unwinder, task) {
            Ok(start) => unwinder.unwind(kernel, start),
            Err(error) => Self::none(&error),
        }
    }

    fn none(error: &StartError) -> Self {
        let why = error.to_string();
        Self { frames: Vec::new(), end: StackEnd::Cut(why.clone()), findings: vec![why] }
    }
}
