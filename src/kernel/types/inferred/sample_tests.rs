//! Layouts of the sample, inferred: what its own types say of it is the judge, and what the
//! readers make of them.

use std::path::Path;
use std::sync::OnceLock;

use super::super::Types;
use super::*;
use crate::kernel::backtrace::Backtrace;
use crate::kernel::cpus::Cpus;
use crate::kernel::identity::Identity;
use crate::kernel::memory_usage::MemoryUsage;
use crate::kernel::modules::Module;
use crate::kernel::tasks::{Task, Tasks};
use crate::render;
use crate::render::tasks::{Row, TasksJson};
use crate::vmcore::Vmcore;

fn sample() -> (Vmcore, Kernel) {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/core/linux-6.1.zst");
    let core = Vmcore::open(&core).unwrap();
    let kernel = Kernel::find(&core).unwrap();
    (core, kernel)
}

/// The sample's kernel as if it had no types of its own.
fn without_types(core: &Vmcore) -> Kernel {
    let mut kernel = Kernel::find(core).unwrap();
    let layouts = infer(&kernel);
    kernel.types = OnceLock::from(Ok(Types::inferred(layouts)));
    kernel
}

#[test]
fn what_is_inferred_is_what_the_kernels_own_types_say() {
    let (_, kernel) = sample();
    let types = kernel.types().unwrap();
    assert!(types.layouts().is_none());
    let layouts = infer(&kernel);
    let mut count = 0;
    for (structure, path, field) in layouts.fields() {
        let truth = types.field(structure, path).unwrap();
        assert_eq!(field, truth, "{structure}.{path}");
        count += 1;
    }
    for (structure, size) in layouts.sizes() {
        assert_eq!(types.size(structure), Ok(size), "{structure}");
    }
    let mut values = 0;
    for (enumeration, name, value) in layouts.values() {
        let truth = types.enumerator(enumeration, name).ok();
        let truth = truth.or_else(|| types.enumerator(enumeration, &format!("{name}_B")).ok());
        // A few are shown by another name than that of the source.
        assert!(truth.is_none_or(|truth| truth == value), "{name}: {value}, and not {truth:?}");
        values += usize::from(truth.is_some());
    }
    assert!(count >= 50 && values >= 40, "{count} members, {values} values");
    let [said, missing] = &layouts.findings()[..] else { panic!("two findings") };
    assert!(said.contains("inferred") && said.contains("57 tasks and 10 modules"), "{said}");
    assert!(!missing.contains("fit"), "{missing}");
}

/// What memory was used for, without what more than counters tells.
fn counted(kernel: &Kernel) -> [Option<u64>; 4] {
    let usage = MemoryUsage::of(kernel).expect("counters");
    let MemoryUsage { total, free, cache, shared, .. } = usage;
    [Some(total), Some(free), Some(cache), shared]
}

/// Tasks without what is never inferred.
fn listed(tasks: &Tasks) -> Vec<String> {
    let line = |task: &Task| {
        let Task { at, pid, tgid, ppid, comm, state, cpu, on_cpu, .. } = task;
        let Task { kernel_thread, stack, mm, start_ns, .. } = task;
        format!(
            "{at} {pid} {tgid} {ppid:?} {comm} {state} {cpu:?} {on_cpu} {kernel_thread} {stack} {mm:?} {start_ns:?}"
        )
    };
    tasks.tasks.iter().map(line).collect()
}

#[test]
fn tasks_modules_and_stacks_are_the_same_without_types() {
    let (core, own) = sample();
    let inferred = without_types(&core);
    assert_eq!(listed(inferred.tasks()), listed(own.tasks()));
    assert_eq!(inferred.tasks().findings, own.tasks().findings);
    let unversioned = |modules: &[Module]| -> Vec<Module> {
        let strip =
            |module: &Module| Module { version: None, source_version: None, ..module.clone() };
        modules.iter().map(strip).collect()
    };
    assert_eq!(unversioned(&inferred.modules().modules), unversioned(&own.modules().modules));
    assert_eq!(Cpus::of(&inferred, &core), Cpus::of(&own, &core));
    for task in &own.tasks().tasks {
        let stacks = [&inferred, &own].map(|kernel| Backtrace::of_task(kernel, &core, task));
        assert_eq!(stacks[0], stacks[1], "{}", task.comm);
    }
    assert_eq!(counted(&inferred), counted(&own));
    let identities = [&inferred, &own].map(Identity::of);
    assert_eq!(identities[0].times, identities[1].times);
    assert!(identities[0].times.is_some());
    assert_eq!((identities[0].hz, &identities[0].uname), (identities[1].hz, &identities[1].uname));
}

/// Times are in no place that could be inferred: they were printed as 0.
#[test]
fn what_is_not_known_of_a_task_is_a_dash_and_null_and_no_zero() {
    let (core, _) = sample();
    let kernel = without_types(&core);
    let tasks = kernel.tasks();
    assert!(tasks.process_times().values().all(Option::is_none));
    let row = |task| Row { task, time_ns: Task::run_ns(task), depth: 0 };
    let rows: Vec<_> = tasks.tasks.iter().map(row).collect();
    let mut text = Vec::new();
    render::tasks::text(&rows, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().skip(1).all(|line| line.contains("           - ")), "{text}");
    let json = serde_json::to_value(TasksJson::new(&rows, &[])).unwrap();
    for name in ["user_ns", "system_ns", "time_ns"] {
        assert!(json["tasks"][1][name].is_null(), "{name}");
    }
}
