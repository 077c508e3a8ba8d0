//! `vmcorectl ps`: the guest's tasks.

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::stored_core::{CoreArgs, print};
use super::ui::say_findings;
use crate::kernel::Kernel;
use crate::kernel::tasks::Task;
use crate::render;
use crate::render::report::paint::Paint;
use crate::render::tasks::Row;
use crate::triage::report;

/// Show the guest's tasks: processes first, then kernel threads
///
/// They are read from the kernel's memory with its own types (BTF): no debug symbols are
/// needed. What is missing or damaged is reported on stderr.
#[derive(Debug, clap::Args)]
pub(super) struct PsArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Only processes, no kernel threads
    #[arg(long, conflicts_with = "kernel")]
    user: bool,
    /// Only kernel threads
    #[arg(long)]
    kernel: bool,
    /// Show the threads of each process, too
    #[arg(long)]
    threads: bool,
    /// Show a tree of parents and children
    #[arg(long)]
    tree: bool,
    /// Only blocked tasks, with their stacks, grouped by what they wait for
    #[arg(long, conflicts_with_all = ["user", "kernel", "threads", "tree"])]
    blocked: bool,
    /// Print the tasks as JSON
    #[arg(long)]
    json: bool,
}

/// Prints tasks.
pub(super) fn run(arguments: &PsArgs) -> anyhow::Result<Exit> {
    let core = arguments.core.open(arguments.find_kernel.reads())?;
    let kernel = arguments.find_kernel.find(&core)?;
    let tasks = kernel.tasks();
    let own = kernel.types_findings().iter().chain(&tasks.findings);
    say_findings(
        core.findings().iter().chain(&kernel.origin()).chain(own).chain(&kernel.ambiguities()),
    );
    if arguments.blocked {
        return blocked(&kernel, arguments.json);
    }
    let wanted = |task: &Task| {
        let kind = if task.kernel_thread { !arguments.user } else { !arguments.kernel };
        kind && (arguments.threads || task.is_leader())
    };
    let mut listed: Vec<(&Task, usize)> = if arguments.tree {
        tasks.tree()
    } else {
        tasks.tasks.iter().map(|task| (task, 0)).collect()
    };
    listed.retain(|(task, _)| wanted(task));
    if !arguments.tree {
        listed.sort_by_key(|(task, _)| (task.kernel_thread, task.tgid, task.pid));
    }
    let times = tasks.process_times();
    let row = |(task, depth): &(&'_ Task, usize)| {
        // A process's time is that of all its threads; where these are shown, each has its own.
        let whole = times.get(&task.tgid).filter(|_| !arguments.threads && task.pid != 0);
        (*depth, whole.copied().unwrap_or_else(|| task.run_ns()))
    };
    let rows: Vec<Row<'_>> = listed
        .iter()
        .map(|listed| {
            let (depth, time_ns) = row(listed);
            Row { task: listed.0, time_ns, depth }
        })
        .collect();
    print(|out| {
        if arguments.json {
            render::json::pretty(&render::tasks::TasksJson::new(&rows, &tasks.findings), out)
        } else {
            render::tasks::text(&rows, out)
        }
    })?;
    let nothing = tasks.tasks.is_empty() && !tasks.findings.is_empty();
    Ok(if nothing { Exit::Failed } else { Exit::Done })
}

/// Prints the blocked tasks by what they wait for.
fn blocked(kernel: &Kernel, json: bool) -> anyhow::Result<Exit> {
    let tasks = kernel.tasks();
    let (groups, finding) = report::blocked(kernel, tasks);
    say_findings(&finding);
    print(|out| match (json, groups.is_empty()) {
        (true, _) => render::json::pretty(&groups, out),
        (false, true) => writeln!(out, "No task is blocked."),
        (false, false) => render::report::text::blocked(&groups, Paint { colours: false }, out),
    })?;
    let nothing = tasks.tasks.is_empty() && !tasks.findings.is_empty();
    Ok(if nothing { Exit::Failed } else { Exit::Done })
}
