//! Which vCPU of the notes is which CPU of the kernel, and what it runs.
//!
//! ```text
//! x86-64   gs base (kernel_gs_base in user mode) = __per_cpu_offset[cpu]
//! arm64    sp is in the stack of a task that is on a CPU, or in a CPU's interrupt stack
//! runqueues (per CPU) ──curr──► the task that runs      idle: it is rq.idle
//! ```
//!
//! All possible CPUs are listed: a panic takes all but its own offline.

use std::collections::{BTreeMap, HashMap};

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::arch::VcpuState;
use super::tasks::Task;
use crate::vmcore::Vmcore;

/// The longest kernel stack: of a kernel with KASAN and pages of 64 KiB.
const MAX_STACK: u64 = 64 << 10;
/// Kernel addresses have this bit.
const KERNEL_HALF: u64 = 1 << 63;

/// What a CPU is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It runs a process's own code.
    User,
    /// It runs the kernel for a task.
    Kernel,
    /// It has nothing to do.
    Idle,
    /// Its registers do not tell.
    Unknown,
}

/// How a vCPU was matched with a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// By where its per-CPU variables are.
    PerCpu,
    /// By the stack that it uses.
    Stack,
    /// By its number alone.
    Number,
}

/// A CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub number: u32,
    /// The vCPU's place in the notes, and how it was found.
    pub vcpu: Option<(usize, Matched)>,
    /// Where the task is that runs on it.
    pub current: Option<VirtAddr>,
    /// What it is doing.
    pub mode: Mode,
}

/// The CPUs of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpus {
    /// The CPUs, by number.
    pub cpus: Vec<Cpu>,
    /// The CPU that panicked, if any did.
    pub panicked: Option<u32>,
    /// What is missing or wrong, as sentences.
    pub findings: Vec<String>,
}

impl Cpus {
    /// Matches the vCPUs of a core with its kernel's CPUs.
    pub fn of(kernel: &Kernel, core: &Vmcore) -> Self {
        Self::matched(kernel, &kernel.arch.vcpus(core))
    }

    fn matched(kernel: &Kernel, seen: &[VcpuState]) -> Self {
        let mut all = Self { panicked: panicked(kernel), ..Self::default() };
        let mut numbers = kernel.possible_cpus().to_vec();
        if numbers.is_empty() {
            all.findings.push(
                "which vCPU is which CPU of the kernel is not known: they are matched by their numbers".to_owned(),
            );
            numbers = (0..u32::try_from(seen.len()).unwrap_or(u32::MAX)).collect();
        }
        let running = Running::of(kernel);
        all.cpus = numbers.iter().map(|number| cpu(kernel, *number, &running)).collect();
        let stacks = all.stacks(kernel, seen, &running);
        for (vcpu, seen) in seen.iter().enumerate() {
            if let Some((number, how)) = stacks.number_of(seen)
                && let Ok(index) = all.cpus.binary_search_by_key(&number, |cpu| cpu.number)
                && let Some(cpu) = all.cpus.get_mut(index)
            {
                cpu.vcpu.get_or_insert((vcpu, how));
            }
        }
        all.match_by_number(seen);
        for cpu in &mut all.cpus {
            let seen = cpu.vcpu.and_then(|(vcpu, _)| seen.get(vcpu));
            cpu.mode = match seen.and_then(|seen| seen.user) {
                Some(true) => Mode::User,
                user if cpu.current.is_some() => match kernel.is_idle(cpu) {
                    Some(true) => Mode::Idle,
                    Some(false) => Mode::Kernel,
                    None if user == Some(false) => Mode::Kernel,
                    None => Mode::Unknown,
                },
                Some(false) => Mode::Kernel,
                None => Mode::Unknown,
            };
        }
        all
    }

    /// The CPU that a vCPU of the notes is.
    pub fn of_vcpu(&self, vcpu: usize) -> Option<&Cpu> {
        self.cpus.iter().find(|cpu| cpu.vcpu.is_some_and(|(known, _)| known == vcpu))
    }

    /// The CPU of this number.
    pub fn numbered(&self, number: u32) -> Option<&Cpu> {
        self.cpus.iter().find(|cpu| cpu.number == number)
    }

    /// What vCPUs are matched by.
    fn stacks<'k>(
        &self,
        kernel: &Kernel,
        seen: &[VcpuState],
        running: &'k Running<'k>,
    ) -> Stacks<'k> {
        let mut areas = HashMap::new();
        for cpu in &self.cpus {
            if let Some(offset) = kernel.per_cpu_offset(cpu.number) {
                areas.entry(offset).or_insert(cpu.number);
            }
        }
        let by_stack = seen.iter().any(|seen| seen.per_cpu.is_none());
        let symbol = kernel.arch.interrupt_stack().filter(|_| by_stack);
        let interrupt = symbol.and_then(|name| kernel.symbol(name)).map(|symbol| {
            let stack = |cpu: &Cpu| {
                let at = kernel.per_cpu(symbol, cpu.number)?;
                Some((kernel.space.read_u64(at).ok()?, cpu.number))
            };
            self.cpus.iter().filter_map(stack).collect()
        });
        Stacks { areas, tasks: &running.by_stack, interrupt: interrupt.unwrap_or_default() }
    }

    /// What is left: QEMU's first vCPU is the one that starts, and so on.
    fn match_by_number(&mut self, seen: &[VcpuState]) {
        for vcpu in 0..seen.len() {
            if self.of_vcpu(vcpu).is_some() {
                continue;
            }
            let number = u32::try_from(vcpu).unwrap_or(u32::MAX);
            let free = |cpu: &&mut Cpu| cpu.vcpu.is_none() && cpu.number == number;
            if let Some(cpu) = self.cpus.iter_mut().find(free) {
                cpu.vcpu = Some((vcpu, Matched::Number));
            } else {
                self.findings.push(format!("vCPU {vcpu} is no CPU that the kernel knows"));
            }
        }
    }
}

impl Kernel {
    fn is_idle(&self, cpu: &Cpu) -> Option<bool> {
        let current = cpu.current?;
        Some(self.run_queue(cpu.number)?.pointer("idle").ok()? == current)
    }
}

/// The tasks that are on a CPU.
#[derive(Default)]
struct Running<'k> {
    /// By the CPU's number: the first one.
    by_cpu: HashMap<u32, VirtAddr>,
    /// By where its stack begins.
    by_stack: BTreeMap<u64, &'k Task>,
}

impl<'k> Running<'k> {
    fn of(kernel: &'k Kernel) -> Self {
        let mut all = Self::default();
        for task in kernel.tasks().tasks.iter().filter(|task| task.on_cpu) {
            if let Some(cpu) = task.cpu {
                all.by_cpu.entry(cpu).or_insert(task.at);
            }
            all.by_stack.insert(task.stack.0, task);
        }
        all
    }
}

/// Where CPUs have their memory and their stacks.
struct Stacks<'k> {
    /// CPUs, by where their per-CPU memory is.
    areas: HashMap<u64, u32>,
    tasks: &'k BTreeMap<u64, &'k Task>,
    /// Where interrupt stacks begin, and whose they are.
    interrupt: Vec<(u64, u32)>,
}

impl Stacks<'_> {
    /// The CPU that a vCPU is.
    fn number_of(&self, seen: &VcpuState) -> Option<(u32, Matched)> {
        if let Some(base) = seen.per_cpu {
            return Some((*self.areas.get(&base)?, Matched::PerCpu));
        }
        if seen.user == Some(true) || seen.sp & KERNEL_HALF == 0 {
            return None;
        }
        let inside = |stack: u64, length| seen.sp.wrapping_sub(stack) < length;
        let (_, task) = self.tasks.range(..=seen.sp).next_back().unzip();
        let task = task.filter(|task| inside(task.stack.0, MAX_STACK));
        let interrupt = || {
            let mut stacks = self.interrupt.iter();
            stacks.find(|(stack, _)| inside(*stack, MAX_STACK / 4)).map(|(_, number)| *number)
        };
        let number = task.and_then(|task| task.cpu).or_else(interrupt);
        number.map(|number| (number, Matched::Stack))
    }
}

fn cpu(kernel: &Kernel, number: u32, running: &Running<'_>) -> Cpu {
    let queued = kernel.run_queue(number).and_then(|queue| queue.pointer("curr").ok());
    let on_cpu = || running.by_cpu.get(&number).copied();
    let current = queued.filter(|at| at.0 != 0).or_else(on_cpu);
    Cpu { number, vcpu: None, current, mode: Mode::Unknown }
}

/// `panic_cpu`: -1 as long as none has.
fn panicked(kernel: &Kernel) -> Option<u32> {
    let number = kernel.space.read_u32(kernel.symbol("panic_cpu")?).ok()?;
    u32::try_from(number.cast_signed()).ok()
}

#[cfg(test)]
#[path = "cpus_tests.rs"]
mod tests;
