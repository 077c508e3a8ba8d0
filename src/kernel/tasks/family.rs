//! The tree of tasks, and the run time of processes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Task, Tasks};

/// How deep a tree is followed. Deeper ones begin anew.
const MAX_DEPTH: usize = 1024;

impl Tasks {
    /// All tasks, each followed by its children, and how deep it is below those without a
    /// parent. A process's threads are below it. Each task once, even if parents form a cycle.
    pub fn tree(&self) -> Vec<(&Task, usize)> {
        let mut children: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        // The first idle task is the root of all; the others are roots of their own.
        for (index, task) in self.tasks.iter().enumerate().filter(|(_, task)| task.pid != 0) {
            let parent = if task.is_leader() { task.ppid } else { Some(task.tgid) };
            if let Some(parent) = parent {
                children.entry(parent).or_default().push(index);
            }
        }
        for list in children.values_mut() {
            list.sort_by_key(|index| {
                self.tasks.get(*index).map(|task| (!task.is_leader(), task.pid))
            });
        }
        let mut tree = Vec::with_capacity(self.tasks.len());
        let mut seen = HashSet::new();
        let known: HashSet<i32> = self.tasks.iter().map(|task| task.pid).collect();
        let orphan =
            |task: &Task| task.pid == 0 || task.ppid.is_none_or(|ppid| !known.contains(&ppid));
        let first = (0..self.tasks.len())
            .filter(|index| self.tasks.get(*index).is_some_and(orphan))
            // Then those in a cycle.
            .chain(0..self.tasks.len());
        for start in first {
            let mut stack = vec![(start, 0_usize)];
            while let Some((index, depth)) = stack.pop() {
                let Some(task) = self.tasks.get(index).filter(|_| seen.insert(index)) else {
                    continue;
                };
                tree.push((task, depth));
                if depth < MAX_DEPTH && task.is_leader() {
                    // Of several with one pid, the first has all children.
                    let below = children.remove(&task.pid).into_iter().flatten().rev();
                    stack.extend(below.map(|child| (child, depth.saturating_add(1))));
                }
            }
        }
        tree
    }

    /// How long each process ran, by its pid, in nanoseconds: all threads that are or were.
    /// `None` if it is not known of one of them.
    pub fn process_times(&self) -> HashMap<i32, Option<u64>> {
        let mut times: HashMap<i32, Option<u64>> = HashMap::new();
        for task in &self.tasks {
            let own = task.run_ns().zip(task.exited_ns);
            let sum = times.entry(task.tgid).or_insert(Some(0));
            *sum = sum
                .zip(own)
                .map(|(sum, (own, exited))| sum.saturating_add(own).saturating_add(exited));
        }
        times
    }
}
