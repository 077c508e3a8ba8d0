//! A kernel without types of its own: what is inferred of its structures, and what the readers
//! make of it, by the same kernel with them.

use std::fs;
use std::path::{Path, PathBuf};

use vmcorectl::kernel::Kernel;
use vmcorectl::kernel::backtrace::Backtrace;
use vmcorectl::kernel::cpus::Cpus;
use vmcorectl::kernel::identity::Identity;
use vmcorectl::kernel::memory_usage::MemoryUsage;
use vmcorectl::kernel::modules::Module;
use vmcorectl::kernel::tasks::{Task, Tasks};
use vmcorectl::vmcore::Vmcore;

/// By hand, on cores that are there: `CORES=a.elf:b.elf cargo test --test guest by_hand`.
#[test]
fn by_hand() {
    for core in std::env::var("CORES").iter().flat_map(|cores| cores.split(':')) {
        println!("{core}");
        same_without_types(Path::new(core));
    }
}

/// All that is inferred is what BTF says, and nothing that is listed is different.
pub(crate) fn same_without_types(unpacked: &Path) {
    let hidden = without_types(unpacked);
    let open = |path: &Path| Vmcore::open(path).unwrap();
    let cores = [open(unpacked), open(&hidden)];
    let [own, inferred] = cores.each_ref().map(|core| Kernel::find(core).unwrap());
    let types = own.types().unwrap();
    let layouts = inferred.types().unwrap().layouts().expect("inferred ones");
    let said = inferred.types_findings();
    assert!(said.iter().any(|finding| finding.contains("inferred")), "{said:?}");
    for (structure, path, field) in layouts.fields() {
        // Before Linux 5.14 it was `state`, and longer.
        let old = path == "__state" && !types.has(structure, path);
        let truth = types.field(structure, if old { "state" } else { path });
        let truth = truth.unwrap_or_else(|error| panic!("{structure}.{path}: {error}"));
        let same = field.offset == truth.offset && (old || field == truth);
        assert!(same, "{structure}.{path}: {field:?}, and not {truth:?}");
    }
    for (structure, size) in layouts.sizes() {
        assert_eq!(types.size(structure), Ok(size), "{structure}");
    }
    assert_eq!(listed(inferred.tasks()), listed(own.tasks()));
    assert_eq!(unversioned(&inferred.modules().modules), unversioned(&own.modules().modules));
    let cpus = [Cpus::of(&own, &cores[0]), Cpus::of(&inferred, &cores[1])];
    assert_eq!(cpus[0], cpus[1]);
    for task in &own.tasks().tasks {
        let stacks = [
            Backtrace::of_task(&own, &cores[0], task),
            Backtrace::of_task(&inferred, &cores[1], task),
        ];
        assert_eq!(stacks[0].frames, stacks[1].frames, "{}", task.comm);
    }
    assert_eq!(counted(&inferred), counted(&own));
    let identities = [Identity::of(&own), Identity::of(&inferred)];
    assert_eq!(identities[0].times, identities[1].times);
    assert_eq!((identities[0].hz, &identities[0].uname), (identities[1].hz, &identities[1].uname));
    fs::remove_file(&hidden).unwrap();
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
    assert!(tasks.tasks.len() > 30, "{} tasks", tasks.tasks.len());
    tasks.tasks.iter().map(line).collect()
}

/// Modules without what is never inferred; who uses them is not where none uses another.
fn unversioned(modules: &[Module]) -> Vec<Module> {
    let used =
        modules.iter().any(|module| module.users.as_ref().is_some_and(|users| !users.is_empty()));
    let strip = |module: &Module| {
        let mut module = module.clone();
        (module.version, module.source_version) = (None, None);
        module.references = module.references.filter(|_| used);
        module
    };
    modules.iter().map(strip).collect()
}

/// A copy of a core in which no BTF begins as BTF does.
pub(crate) fn without_types(core: &Path) -> PathBuf {
    const HEAD: [u8; 4] = [0x9f, 0xeb, 1, 0];
    let mut bytes = fs::read(core).unwrap();
    let mut at = 0;
    let mut hidden = 0;
    while let Some(found) = bytes[at..].windows(HEAD.len()).position(|window| window == HEAD) {
        at += found;
        bytes[at..at + HEAD.len()].fill(0);
        hidden += 1;
    }
    assert!(hidden > 0, "no BTF");
    let other = core.with_file_name("without-types.elf");
    fs::write(&other, bytes).unwrap();
    other
}
