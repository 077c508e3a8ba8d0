//! The stack of a vCPU or of a task.

use std::collections::HashMap;
use std::num::NonZero;
use std::thread;

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::budget::Budget;
use super::cpus::Cpus;
use super::tasks::Task;
use super::unwind::start::{self, StartError};
use super::unwind::{StackEnd, StackFrame, Unwound};
use crate::vmcore::Vmcore;
use crate::vmcore::registers::{Registers, Vcpu};

/// The most threads that unwind at once.
const MAX_THREADS: usize = 8;

/// The most bytes of stacks that are kept at once.
const MAX_KEPT: u64 = 256 << 20;
/// About how many bytes a frame takes, without its function's name.
const FRAME: usize = 256;

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
        Self::of_vcpu(kernel, &Registers::of(core.notes(), core.identity()).cpus, vcpu)
    }

    /// The same, of the vCPUs in notes that were read already.
    pub fn of_vcpu(kernel: &Kernel, vcpus: &[Vcpu], vcpu: usize) -> Self {
        let unwinder = kernel.unwinder();
        let start = vcpus.get(vcpu).ok_or(StartError::NoVcpu(vcpu));
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
        let stack = of_all(kernel, core, &Cpus::of(kernel, core), &[task]).pop();
        stack.unwrap_or_else(|| Self::none(&StartError::NoCpu))
    }

    /// About how many bytes it takes.
    fn size(&self) -> u64 {
        let frame = |frame: &StackFrame| {
            let names = frame.symbol.as_ref().map_or(0, |symbol| symbol.name.len());
            names.saturating_add(FRAME)
        };
        self.frames.iter().map(frame).fold(FRAME, usize::saturating_add) as u64
    }

    fn none(error: &StartError) -> Self {
        let why = error.to_string();
        Self { frames: Vec::new(), end: StackEnd::Cut(why.clone()), findings: vec![why] }
    }
}

/// Reads the stacks of the tasks that do not run, one after the other, as long as `goes_on` says so.
pub fn read_sleepers(kernel: &Kernel, mut goes_on: impl FnMut() -> bool) {
    let sleepers = kernel.tasks().tasks.iter().filter(|task| !task.on_cpu);
    for task in sleepers.take_while(|_| goes_on()) {
        let _ = Backtrace::of_sleeper(kernel, task.at);
    }
}

/// The stacks of many tasks, in their order, by several threads.
///
/// What a task that runs saved when it slept is of long ago: its vCPU counts alone. Once they
/// take the memory that is kept for them, the others are empty.
pub fn of_all(kernel: &Kernel, core: &Vmcore, cpus: &Cpus, tasks: &[&Task]) -> Vec<Backtrace> {
    let vcpus = Registers::of(core.notes(), core.identity()).cpus;
    let running = cpus.cpus.iter().filter_map(|cpu| Some((cpu.current?, cpu.vcpu?.0)));
    let running: HashMap<_, _> = running.collect();
    let left = Budget::of(MAX_KEPT);
    let one = |task: &&Task| {
        let stack = match running.get(&task.at) {
            _ if !task.on_cpu => Backtrace::of_sleeper(kernel, task.at),
            Some(vcpu) => Backtrace::of_vcpu(kernel, &vcpus, *vcpu),
            None => Backtrace::none(&StartError::NoCpu),
        };
        match left.take(stack.size()) {
            Ok(()) => stack,
            Err(spent) => Backtrace {
                frames: Vec::new(),
                end: StackEnd::Cut(spent.to_string()),
                findings: Vec::new(),
            },
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let share = tasks.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts = tasks.chunks(share);
        let one = &one;
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}
