//! The tasks: their number, the blocked ones, and what each CPU was doing.

use std::collections::BTreeMap;

use vmcore_formats::addr::VirtAddr;

use super::data::{self, Blocked, CpuState, Panicked, Report, StateCount, TaskCounts, Trust};
use super::stacks::{self, Room};
use crate::kernel::Kernel;
use crate::kernel::backtrace::Backtrace;
use crate::kernel::cpus::{Cpus, Mode};
use crate::kernel::tasks::{Task, TaskState, Tasks};
use crate::metadata::Metadata;
use crate::triage::core_stacks::panicked_vcpu;

/// The most blocked tasks whose stacks are unwound.
const MAX_BLOCKED: usize = 200;
/// The most tasks of a group that are named.
const NAMED: usize = 20;

/// Puts what each CPU was doing into a report, and which one panicked.
pub(super) fn cpus(report: &mut Report, cpus: &Cpus, tasks: &Tasks, metadata: Option<&Metadata>) {
    for finding in &cpus.findings {
        report.find("cpus", finding.clone(), Trust::Likely);
    }
    let panicked = panicked_vcpu(cpus, metadata);
    for cpu in &mut report.cpus {
        let known = cpus.of_vcpu(cpu.vcpu);
        cpu.cpu = known.map(|known| known.number);
        cpu.task = known.and_then(|known| known.current).map(|at| task_at(tasks, at));
        cpu.state = match known.map(|known| known.mode) {
            _ if panicked == Some(cpu.vcpu) => CpuState::Panicked,
            Some(Mode::User) => CpuState::User,
            Some(Mode::Kernel) => CpuState::Kernel,
            Some(Mode::Idle) => CpuState::Idle,
            Some(Mode::Unknown) | None => cpu.state,
        };
    }
    let panicked = report.cpus.iter().find(|cpu| cpu.state == CpuState::Panicked);
    report.panicked = panicked
        .map(|cpu| Panicked { cpu: cpu.cpu, vcpu: Some(cpu.vcpu), task: cpu.task.clone() })
        .or_else(|| {
            // The core may have no note of its vCPU.
            let number = cpus.panicked?;
            let task = cpus.numbered(number).and_then(|cpu| cpu.current);
            let task = task.map(|at| task_at(tasks, at));
            Some(Panicked { cpu: Some(number), vcpu: None, task })
        });
}

/// Puts the number of tasks and the blocked ones into a report.
pub(super) fn take(report: &mut Report, kernel: &Kernel, tasks: &Tasks, room: &mut Room) {
    for finding in &tasks.findings {
        report.find("tasks", finding.clone(), Trust::Certain);
    }
    if tasks.tasks.is_empty() {
        return;
    }
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for task in &tasks.tasks {
        let count = states.entry(word(task.state).to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    let leaders = tasks.tasks.iter().filter(|task| task.is_leader() && !task.kernel_thread);
    report.tasks = Some(TaskCounts {
        processes: leaders.count(),
        threads: tasks.tasks.len(),
        kernel_threads: tasks.tasks.iter().filter(|task| task.kernel_thread).count(),
        states: states.into_iter().map(|(state, count)| StateCount { state, count }).collect(),
    });
    let (groups, finding) = blocked_within(kernel, tasks, room);
    report.blocked = groups;
    if let Some(finding) = finding {
        report.find("tasks", finding, Trust::Certain);
    }
}

/// The blocked tasks in groups with the same stack, the largest first; and a finding if there are
/// too many.
pub fn blocked(kernel: &Kernel, tasks: &Tasks) -> (Vec<Blocked>, Option<String>) {
    blocked_within(kernel, tasks, &mut Room::of_stacks())
}

fn blocked_within(
    kernel: &Kernel,
    tasks: &Tasks,
    room: &mut Room,
) -> (Vec<Blocked>, Option<String>) {
    let is_blocked = |task: &&Task| task.state == TaskState::Blocked && !task.on_cpu;
    let all = tasks.tasks.iter().filter(is_blocked).count();
    let finding = (all > MAX_BLOCKED)
        .then(|| format!("only {MAX_BLOCKED} of {all} blocked tasks were unwound"));
    let mut groups: Vec<Blocked> = Vec::new();
    for task in tasks.tasks.iter().filter(is_blocked).take(MAX_BLOCKED) {
        let stack = stacks::stack(&Backtrace::of_sleeper(kernel, task.at), room);
        let known = groups
            .iter_mut()
            .find(|group| stacks::functions(&group.stack) == stacks::functions(&stack));
        match known {
            Some(group) => {
                group.count = group.count.saturating_add(1);
                if group.tasks.len() < NAMED {
                    group.tasks.push(described(task));
                }
            }
            None => groups.push(Blocked { tasks: vec![described(task)], count: 1, stack }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    (groups, finding)
}

/// A state in a word.
fn word(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "running or ready",
        TaskState::Sleeping => "sleeping",
        TaskState::Blocked => "blocked",
        TaskState::Stopped => "stopped",
        TaskState::Traced => "traced",
        TaskState::Dead => "dead",
        TaskState::Zombie => "zombies",
        TaskState::Parked => "parked",
        TaskState::Idle => "idle",
    }
}

fn task_at(tasks: &Tasks, at: VirtAddr) -> data::Task {
    tasks.at(at).map_or_else(
        || data::Task { pid: None, comm: None, address: Some(format!("{:#x}", at.0)) },
        described,
    )
}

fn described(task: &Task) -> data::Task {
    data::Task {
        pid: Some(task.pid),
        comm: Some(task.comm.clone()),
        address: Some(format!("{:#x}", task.at.0)),
    }
}
