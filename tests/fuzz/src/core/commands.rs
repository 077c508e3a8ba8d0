//! The commands that read a core, in this process. Each returns how much it prints.

use vmcorectl::kernel::Kernel;
use vmcorectl::kernel::backtrace::{Backtrace, of_all};
use vmcorectl::kernel::cpus::Cpus;
use vmcorectl::kernel::identity::Identity;
use vmcorectl::kernel::log::Log;
use vmcorectl::kernel::memory_usage::MemoryUsage;
use vmcorectl::kernel::mounts::Mounts;
use vmcorectl::kernel::tasks::Task;
use vmcorectl::metadata::Metadata;
use vmcorectl::render;
use vmcorectl::render::backtrace::{BacktracesJson, Stack};
use vmcorectl::render::dmesg::Style;
use vmcorectl::render::kernel::{KernelJson, KernelParts};
use vmcorectl::render::modules::ModulesJson;
use vmcorectl::render::report::paint::Paint;
use vmcorectl::render::tasks::{Row, TasksJson};
use vmcorectl::triage::crash::families::Families;
use vmcorectl::triage::report::{Report, ReportOptions};
use vmcorectl::vmcore::Vmcore;
use vmcorectl::vmlinux::MadeVmlinux;

use crate::output::{json, report_json, text};

/// A command.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) run: fn(&Vmcore, Option<&Metadata>, usize) -> usize,
}

/// All of them. `report` is the first, and is there twice: it reads the most.
pub(super) const COMMANDS: &[Command] = &[
    Command { name: "report", run: report },
    Command { name: "ps", run: ps },
    Command { name: "mods", run: mods },
    Command { name: "symbols", run: symbols },
    Command { name: "bt --tasks", run: backtraces },
    Command { name: "dmesg", run: dmesg },
    Command { name: "info --kernel", run: kernel_info },
    Command { name: "report", run: report },
];

fn report(core: &Vmcore, metadata: Option<&Metadata>, most: usize) -> usize {
    let report = Report::with(core, metadata, Families::built_in(), ReportOptions::default());
    assert!(!report.title.is_empty(), "a report without a title");
    let written = report_json(most, &report);
    text(most, |out| render::report::text::text(&report, Paint { colours: false }, out));
    text(most, |out| render::report::html::page(&report, out)).max(written)
}

fn ps(core: &Vmcore, _: Option<&Metadata>, most: usize) -> usize {
    let Ok(kernel) = Kernel::find(core) else { return 0 };
    let tasks = kernel.tasks();
    let row = |(task, depth)| Row { task, time_ns: None, depth };
    let rows: Vec<Row<'_>> = tasks.tree().into_iter().map(row).collect();
    let _ = tasks.process_times();
    text(most, |out| render::tasks::text(&rows, out));
    json(most, |out| render::json::pretty(&TasksJson::new(&rows, &tasks.findings), out))
}

fn mods(core: &Vmcore, _: Option<&Metadata>, most: usize) -> usize {
    let Ok(kernel) = Kernel::find(core) else { return 0 };
    let modules = kernel.modules();
    text(most, |out| render::modules::text(modules, out));
    json(most, |out| render::json::pretty(&ModulesJson::new(modules), out))
}

fn symbols(core: &Vmcore, _: Option<&Metadata>, most: usize) -> usize {
    let Ok(kernel) = Kernel::find(core) else { return 0 };
    let Ok(made) = MadeVmlinux::of(&kernel) else { return 0 };
    text(most, |out| made.findings().iter().try_for_each(|finding| writeln!(out, "{finding}")))
}

fn backtraces(core: &Vmcore, _: Option<&Metadata>, most: usize) -> usize {
    let Ok(kernel) = Kernel::find(core) else { return 0 };
    let cpus = Cpus::of(&kernel, core);
    let tasks: Vec<&Task> = kernel.tasks().tasks.iter().collect();
    let stacks = of_all(&kernel, core, &cpus, &tasks);
    let stacks: Vec<Stack<'_>> = tasks.iter().zip(stacks).map(of_task).collect();
    text(most, |out| render::backtrace::text(&stacks, out));
    json(most, |out| render::json::pretty(&BacktracesJson::new(&stacks, &cpus.findings), out))
}

fn of_task<'a>((task, backtrace): (&&'a Task, Backtrace)) -> Stack<'a> {
    let task = Some((task.pid, task.comm.as_str()));
    Stack { cpu: None, panicked: false, task, backtrace, lines: Vec::new() }
}

fn dmesg(core: &Vmcore, _: Option<&Metadata>, most: usize) -> usize {
    let Ok(kernel) = Kernel::find(core) else { return 0 };
    let Ok(log) = Log::read(&kernel.space, &kernel.info) else { return 0 };
    let style = Style { boot: None, caller: true };
    let mut records = log.records.iter();
    text(most, |out| records.try_for_each(|record| render::dmesg::text(record, style, out)));
    let mut records = log.records.iter();
    json(most, |out| records.try_for_each(|record| render::dmesg::json(record, style, out)))
}

fn kernel_info(core: &Vmcore, _: Option<&Metadata>, most: usize) -> usize {
    let Ok(kernel) = Kernel::find(core) else { return 0 };
    let (identity, memory) = (Identity::of(&kernel), MemoryUsage::of(&kernel));
    let (mounts, cpus) = (Mounts::of(&kernel), Cpus::of(&kernel, core));
    let parts = KernelParts {
        identity: &identity,
        memory: memory.as_ref(),
        mounts: &mounts,
        cpus: &cpus,
        tasks: kernel.tasks(),
    };
    text(most, |out| render::kernel::text(&parts, out));
    json(most, |out| render::json::pretty(&KernelJson::new(&parts), out))
}
