//! Which vCPU of the notes is which CPU of the kernel, and what it runs.
//!
//! ```text
//! x86-64   gs base (kernel_gs_base in user mode) = __per_cpu_offset[cpu]
//! arm64    sp is in the stack of a task that is on a CPU, or in a CPU's interrupt stack
//! runqueues (per CPU) ──curr──► the task that runs      idle: it is rq.idle
//! ```
//!
//! All possible CPUs are listed: a panic takes all but its own offline.

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
        all.cpus = numbers.iter().map(|number| cpu(kernel, *number)).collect();
        for (vcpu, seen) in seen.iter().enumerate() {
            if let Some((number, how)) = all.number_of(kernel, seen)
                && let Some(cpu) = all.cpus.iter_mut().find(|cpu| cpu.number == number)
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

    fn number_of(&self, kernel: &Kernel, seen: &VcpuState) -> Option<(u32, Matched)> {
        if let Some(base) = seen.per_cpu {
            let found =
                self.cpus.iter().find(|cpu| kernel.per_cpu_offset(cpu.number) == Some(base));
            return found.map(|cpu| (cpu.number, Matched::PerCpu));
        }
        if seen.user == Some(true) || seen.sp & KERNEL_HALF == 0 {
            return None;
        }
        let tasks = kernel.tasks().tasks.iter().filter(|task| task.on_cpu);
        let below = |task: &&Task| task.stack.0 <= seen.sp;
        let task = tasks.filter(below).max_by_key(|task| task.stack);
        let task = task.filter(|task| seen.sp.wrapping_sub(task.stack.0) < MAX_STACK);
        let number =
            task.and_then(|task| task.cpu).or_else(|| self.by_interrupt_stack(kernel, seen.sp));
        number.map(|number| (number, Matched::Stack))
    }

    /// The CPU whose interrupt stack this is.
    fn by_interrupt_stack(&self, kernel: &Kernel, sp: u64) -> Option<u32> {
        let symbol = kernel.symbol(kernel.arch.interrupt_stack()?)?;
        let inside = |cpu: &&Cpu| {
            let at = kernel.per_cpu(symbol, cpu.number);
            let stack = at.and_then(|at| kernel.space.read_u64(at).ok());
            stack.is_some_and(|stack| sp.wrapping_sub(stack) < MAX_STACK / 4)
        };
        self.cpus.iter().find(inside).map(|cpu| cpu.number)
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

fn cpu(kernel: &Kernel, number: u32) -> Cpu {
    let queued = kernel.run_queue(number).and_then(|queue| queue.pointer("curr").ok());
    let on_cpu = || {
        let tasks = &kernel.tasks().tasks;
        tasks.iter().find(|task| task.on_cpu && task.cpu == Some(number)).map(|task| task.at)
    };
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
