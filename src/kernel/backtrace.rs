//! The stack of a vCPU or of a task.

use std::num::NonZero;
use std::thread;

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::cpus::Cpus;
use super::tasks::Task;
use super::unwind::start::{self, StartError};
use super::unwind::{StackEnd, StackFrame, Unwound};
use crate::vmcore::Vmcore;
use crate::vmcore::registers::Registers;

/// The most threads that unwind at once.
const MAX_THREADS: usize = 8;

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

impl From<Unwound> for Backtrace {
    fn from(Unwound { frames, end, findings }: Unwound) -> Self {
        Self { frames, end, findings }
    }
}

impl Backtrace {
    /// The stack of a vCPU, by its place among the core's notes.
    pub fn of_cpu(kernel: &Kernel, core: &Vmcore, vcpu: usize) -> Self {
        let unwinder = kernel.unwinder();
        let all = Registers::of(core.notes(), core.identity()).cpus;
        let cpu = all.iter().find(|cpu| cpu.number == vcpu);
        let start = cpu.ok_or(StartError::NoVcpu(vcpu));
        match start.and_then(|cpu| start::of_vcpu(kernel, cpu)) {
            Ok(Some(start)) => unwinder.unwind(kernel, start).into(),
            Ok(None) => Self { frames: Vec::new(), end: StackEnd::UserMode, findings: Vec::new() },
            Err(error) => Self::none(&error),
        }
    }

    /// The stack of a task that does not run, by the address of its `task_struct`.
    ///
    /// Of one that runs, this would be a stack of long ago.
    pub fn of_sleeper(kernel: &Kernel, task: VirtAddr) -> Self {
        let unwinder = kernel.unwinder();
        match start::of_sleeper(kernel, unwinder, task) {
            Ok(start) => unwinder.unwind(kernel, start).into(),
            Err(error) => Self::none(&error),
        }
    }

    /// The stack of a task: of the vCPU that it is on, if it is on one.
    pub fn of_task(kernel: &Kernel, core: &Vmcore, task: &Task) -> Self {
        if task.on_cpu {
            return Self::of_running(kernel, core, &Cpus::of(kernel, core), task);
        }
        Self::of_sleeper(kernel, task.at)
    }

    /// What a task that runs saved when it slept is of long ago: its vCPU counts alone.
    fn of_running(kernel: &Kernel, core: &Vmcore, cpus: &Cpus, task: &Task) -> Self {
        let cpu = cpus.cpus.iter().find(|cpu| cpu.current == Some(task.at));
        match cpu.and_then(|cpu| cpu.vcpu) {
            Some((vcpu, _)) => Self::of_cpu(kernel, core, vcpu),
            None => Self::none(&StartError::NoCpu),
        }
    }

    fn none(error: &StartError) -> Self {
        let why = error.to_string();
        Self { frames: Vec::new(), end: StackEnd::Cut(why.clone()), findings: vec![why] }
    }
}

/// The stacks of many tasks, in their order, by several threads.
pub fn of_all(kernel: &Kernel, core: &Vmcore, cpus: &Cpus, tasks: &[&Task]) -> Vec<Backtrace> {
    let one = |task: &&Task| {
        if task.on_cpu {
            Backtrace::of_running(kernel, core, cpus, task)
        } else {
            Backtrace::of_sleeper(kernel, task.at)
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let share = tasks.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts = tasks.chunks(share);
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}
