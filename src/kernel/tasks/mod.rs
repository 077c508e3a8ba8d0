//! The tasks of a kernel: processes, their threads, kernel threads, and the idle task of
//! each CPU.
//!
//! ```text
//! init_task ──tasks──► leader ──signal──► signal_struct.thread_head ──thread_node──► thread
//! runqueues (per CPU) ──idle──► swapper/N         only that of CPU 0 is in the list
//! ```
//!
//! Needs: types. Gives: each task once. Without `KALLSYMS_ALL`, `init_task` is found by its
//! name in the image. What cannot be read is a finding.

mod family;
mod init;
mod read;
mod sizes;
mod state;

use std::collections::{HashMap, HashSet};

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::budget::Budget;
use super::types::{ListOf, Types};

pub use read::Task;
pub use state::TaskState;

/// The most tasks that are looked at.
const MAX_TASKS: usize = 1 << 17;
/// The most findings that are kept.
const MAX_FINDINGS: usize = 32;

/// The tasks of a kernel.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// The tasks: leaders in the order of their list, each followed by its threads; first
    /// the idle tasks.
    pub tasks: Vec<Task>,
    /// What is missing or wrong, as sentences.
    pub findings: Vec<String>,
    by_address: HashMap<VirtAddr, usize>,
}

impl Tasks {
    /// Reads them.
    pub(super) fn of(kernel: &Kernel) -> Self {
        let mut all = Self::default();
        let types = match kernel.types() {
            Ok(types) => types,
            Err(error) => {
                all.findings.push(format!("tasks cannot be listed: {error}"));
                return all;
            }
        };
        // Of leaders, the threads of each, and the parts of their sizes on each CPU.
        let budget = Budget::of_walk();
        all.add_idle(kernel);
        match init::find(kernel, types) {
            Some(init) => all.add_all(kernel, types, init, &budget),
            None => all.find("tasks cannot be listed: init_task is not found".to_owned()),
        }
        all.add_running(kernel);
        all.add_sizes(kernel, &budget);
        all
    }

    /// The task at an address.
    pub fn at(&self, at: VirtAddr) -> Option<&Task> {
        self.tasks.get(*self.by_address.get(&at)?)
    }

    fn add_idle(&mut self, kernel: &Kernel) {
        let cpus = kernel.possible_cpus();
        if cpus.is_empty() {
            self.find(
                "the idle tasks of other CPUs than the first are not listed: the offsets of per-CPU memory are not known"
                    .to_owned(),
            );
        }
        for &cpu in cpus {
            match kernel.run_queue(cpu).and_then(|queue| queue.pointer("idle").ok()) {
                Some(idle) => self.add(kernel, idle),
                None => self.find(format!("the idle task of CPU {cpu} cannot be read")),
            }
        }
    }

    /// What runs, if it is in no list: a list may be damaged.
    fn add_running(&mut self, kernel: &Kernel) {
        for &cpu in kernel.possible_cpus() {
            if let Some(current) =
                kernel.run_queue(cpu).and_then(|queue| queue.pointer("curr").ok())
                && current.0 != 0
            {
                self.add(kernel, current);
            }
        }
    }

    fn add_all(&mut self, kernel: &Kernel, types: &Types, init: VirtAddr, budget: &Budget) {
        self.add(kernel, init);
        let of = ListOf { structure: "task_struct", member: "tasks", what: "tasks" };
        let leaders = types
            .offset("task_struct", "tasks")
            .and_then(|offset| kernel.list(init.wrapping_add(offset), of, budget));
        let leaders = match leaders {
            Ok(leaders) => leaders,
            Err(error) => return self.find(format!("tasks cannot be listed: {error}")),
        };
        leaders.finding.into_iter().for_each(|finding| self.find(finding));
        let mut walked = HashSet::new();
        for leader in leaders.nodes {
            self.add(kernel, leader);
            let signal = self.at(leader).and_then(|task| Some((task.signal?, task.pid)));
            let Some((signal, pid)) = signal else { continue };
            if !walked.insert(signal) {
                self.find(format!("process {pid} has another's threads"));
                continue;
            }
            let threads = types.offset("signal_struct", "thread_head").and_then(|offset| {
                let what = format!("threads of process {pid}");
                let of = ListOf { structure: "task_struct", member: "thread_node", what: &what };
                kernel.list(signal.wrapping_add(offset), of, budget)
            });
            match threads {
                Ok(threads) => {
                    threads.finding.into_iter().for_each(|finding| self.find(finding));
                    threads.nodes.into_iter().for_each(|thread| self.add(kernel, thread));
                }
                Err(error) => self.find(format!("threads are not listed: {error}")),
            }
        }
    }

    fn add(&mut self, kernel: &Kernel, at: VirtAddr) {
        if self.by_address.contains_key(&at) {
            return;
        }
        if self.tasks.len() >= MAX_TASKS {
            return self.find(format!("there are more than {MAX_TASKS} tasks"));
        }
        match read::task(kernel, at) {
            Ok(task) => {
                self.by_address.insert(at, self.tasks.len());
                self.tasks.push(task);
            }
            Err(error) => self.find(format!("the task at {at} cannot be read: {error}")),
        }
    }

    /// Reads how much memory processes have.
    fn add_sizes(&mut self, kernel: &Kernel, budget: &Budget) {
        if let Some((count, spent)) = sizes::complete(kernel, &mut self.tasks, budget) {
            // There may be more findings than are kept, and this one explains the result.
            let finding = format!("how much memory {count} processes have was not read: {spent}");
            self.findings.push(finding);
        }
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests;
