//! `vmcorectl bt`: the stacks of a stored core's CPUs and tasks.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::stored_core::{CoreArgs, print};
use super::symbol_paths::symbol_paths;
use super::ui::{say, say_findings};
use crate::debugger::KernelBuild;
use crate::debugger::source_lines::SourceLines;
use crate::kernel::Kernel;
use crate::kernel::backtrace::{Backtrace, of_all};
use crate::kernel::cpus::{Cpu, Cpus};
use crate::kernel::tasks::Task;
use crate::render;
use crate::render::backtrace::{BacktracesJson, Stack};
use crate::sandbox::limits::Reads;
use crate::vmcore::Vmcore;

/// Show stack traces: by default that of the CPU that panicked
///
/// Stacks are unwound with the kernel's own tables, read from its memory: no debug symbols
/// are needed. Each function is followed by how it was found; `scan?` marks an address
/// on the stack that may be stale. At each entry into the kernel, the saved registers
/// are shown.
#[derive(Debug, clap::Args)]
pub(super) struct BtArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Only this CPU, by its number in the kernel
    #[arg(long, value_name = "N", conflicts_with_all = ["task", "all", "tasks"])]
    cpu: Option<u32>,
    /// The task with this pid, whether it is on a CPU or not
    #[arg(long, value_name = "PID", conflicts_with_all = ["all", "tasks"])]
    task: Option<i32>,
    /// All CPUs
    #[arg(long, conflicts_with = "tasks")]
    all: bool,
    /// All tasks, threads and idle tasks included
    #[arg(long)]
    tasks: bool,
    /// Show source lines and inlined functions, from this vmlinux with debug symbols; those
    /// of modules from files found by their build ids
    #[arg(long, value_name = "FILE")]
    vmlinux: Option<PathBuf>,
    /// The same, from a vmlinux found by the core's build id
    #[arg(long, conflicts_with = "vmlinux")]
    lines: bool,
    /// Print the stacks as JSON
    #[arg(long)]
    json: bool,
}

/// Prints stacks.
pub(super) fn run(arguments: &BtArgs) -> anyhow::Result<Exit> {
    let with_lines = arguments.lines || arguments.vmlinux.is_some();
    let reads = if with_lines { Reads::DebugFiles } else { arguments.find_kernel.reads() };
    let core = arguments.core.open(reads)?;
    let kernel = arguments.find_kernel.find(&core)?;
    let lines = lines(arguments, &kernel)?;
    let mut findings: Vec<String> =
        core.findings().iter().cloned().chain(kernel.origin()).collect();
    findings.extend_from_slice(kernel.types_findings());
    let mut stacks = chosen(arguments, &core, &kernel, &mut findings)?;
    if let Some(source) = &lines {
        for stack in &mut stacks {
            stack.lines = stack.backtrace.frames.iter().map(|frame| source.of(frame)).collect();
        }
        findings.extend(source.findings());
    }
    findings.extend(kernel.ambiguities());
    if !arguments.json {
        say_findings(&findings);
    }
    print(|out| {
        if arguments.json {
            render::json::pretty(&BacktracesJson::new(&stacks, &findings), out)
        } else {
            render::backtrace::text(&stacks, out)
        }
    })
}

/// The source lines, if they are wanted: never those of another build.
fn lines(arguments: &BtArgs, kernel: &Kernel) -> anyhow::Result<Option<SourceLines>> {
    let build = KernelBuild::of(&kernel.info);
    let vmlinux = match (&arguments.vmlinux, arguments.lines) {
        (Some(path), _) => build.check(path)?,
        (None, true) => build.find(&symbol_paths())?,
        (None, false) => return Ok(None),
    };
    if !vmlinux.verified {
        say(&format!(
            "warning: the core names no build id, so whether {} is its kernel's cannot be checked",
            vmlinux.path.display()
        ));
    }
    Ok(Some(SourceLines::open(&vmlinux.path, kernel, symbol_paths())?))
}

fn chosen<'k>(
    arguments: &BtArgs,
    core: &Vmcore,
    kernel: &'k Kernel,
    findings: &mut Vec<String>,
) -> anyhow::Result<Vec<Stack<'k>>> {
    let cpus = Cpus::of(kernel, core);
    findings.extend(cpus.findings.iter().cloned());
    if arguments.tasks || arguments.task.is_some() {
        let tasks = kernel.tasks();
        findings.extend(tasks.findings.iter().cloned());
        let wanted = |task: &&Task| arguments.task.is_none_or(|pid| task.pid == pid);
        let wanted: Vec<&Task> = tasks.tasks.iter().filter(wanted).collect();
        if let (Some(pid), true) = (arguments.task, wanted.is_empty()) {
            bail!("no task with pid {pid} in {}", core.path().display());
        }
        let backtraces = of_all(kernel, core, &cpus, &wanted);
        return Ok(wanted
            .into_iter()
            .zip(backtraces)
            .map(|(task, stack)| of_task(&cpus, task, stack))
            .collect());
    }
    let panicked = cpus.panicked;
    let wanted = |cpu: &&Cpu| match arguments.cpu {
        Some(number) => cpu.number == number,
        None => arguments.all || panicked.is_none_or(|panicked| cpu.number == panicked),
    };
    let wanted: Vec<&Cpu> =
        cpus.cpus.iter().filter(|cpu| cpu.vcpu.is_some()).filter(wanted).collect();
    if wanted.is_empty() {
        let number = arguments.cpu.or(panicked).context("the core has no registers of any CPU")?;
        bail!("no registers of CPU {number} in {}", core.path().display());
    }
    if panicked.is_none() && arguments.cpu.is_none() && !arguments.all {
        findings.push("no CPU has panicked: these are all".to_owned());
    }
    Ok(wanted.into_iter().map(|cpu| of_cpu(kernel, core, &cpus, cpu)).collect())
}

fn of_cpu<'k>(kernel: &'k Kernel, core: &Vmcore, cpus: &Cpus, cpu: &Cpu) -> Stack<'k> {
    let vcpu = cpu.vcpu.map_or(usize::MAX, |(vcpu, _)| vcpu);
    let task = cpu.current.and_then(|at| kernel.tasks().at(at));
    Stack {
        cpu: Some(cpu.number),
        panicked: cpus.panicked == Some(cpu.number),
        task: task.map(|task| (task.pid, task.comm.as_str())),
        backtrace: Backtrace::of_cpu(kernel, core, vcpu),
        lines: Vec::new(),
    }
}

fn of_task<'k>(cpus: &Cpus, task: &'k Task, backtrace: Backtrace) -> Stack<'k> {
    let cpu = cpus.cpus.iter().find(|cpu| cpu.current == Some(task.at)).map(|cpu| cpu.number);
    Stack {
        cpu,
        panicked: cpu.is_some() && cpu == cpus.panicked,
        task: Some((task.pid, &task.comm)),
        backtrace,
        lines: Vec::new(),
    }
}
