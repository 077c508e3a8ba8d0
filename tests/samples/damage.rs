//! Damage: whatever is wrong in the guest's memory, there is a report, soon, and it says so.
//!
//! Each test overlays bytes of the sample's memory. What is overwritten is what the report's
//! walk passes through: the log's ring, the symbols, the types, the lists of tasks and
//! modules, the stacks, the page tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcorectl::kernel::Kernel;
use vmcorectl::render;
use vmcorectl::triage::report::Report;
use vmcorectl::vmcore::{MemoryError, MemoryRange, PhysMemory, Vmcore};

use crate::CORE;
use crate::transcript::project;

/// How much processor time a report of damaged memory may take, without optimisation.
const SOON: Duration = Duration::from_secs(30);

/// The processor time of this thread: other tests and a busy machine take none of it.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), 0) + Duration::from_nanos(now.tv_nsec.cast_unsigned())
}

/// Memory with some pages overwritten.
#[derive(Debug)]
struct Overlaid {
    below: Arc<dyn PhysMemory>,
    /// Runs of bytes, by where they begin. They do not overlap.
    bytes: BTreeMap<u64, Vec<u8>>,
}

impl PhysMemory for Overlaid {
    fn ranges(&self) -> &[MemoryRange] {
        self.below.ranges()
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.below.read(at, buffer)?;
        let end = at.0 + buffer.len() as u64;
        for (&start, bytes) in self.bytes.range(..end) {
            let (first, last) = (start.max(at.0), (start + bytes.len() as u64).min(end));
            if first < last {
                let from = &bytes[(first - start) as usize..(last - start) as usize];
                buffer[(first - at.0) as usize..(last - at.0) as usize].copy_from_slice(from);
            }
        }
        Ok(())
    }
}

/// The sample, its kernel, and what is to be overwritten.
pub(crate) struct Damage {
    core: Vmcore,
    pub(crate) kernel: Kernel,
    bytes: BTreeMap<u64, Vec<u8>>,
    random: u64,
}

impl Damage {
    pub(crate) fn new() -> Self {
        let core = Vmcore::open(&project().join(CORE)).expect("the sample");
        let kernel = Kernel::find(&core).expect("its kernel");
        Self { core, kernel, bytes: BTreeMap::new(), random: 0x9e37_79b9_7f4a_7c15 }
    }

    pub(crate) fn symbol(&self, name: &str) -> VirtAddr {
        self.kernel.symbol(name).unwrap_or_else(|| panic!("no symbol {name}"))
    }

    pub(crate) fn pointer(&self, at: VirtAddr) -> VirtAddr {
        VirtAddr(self.kernel.space.read_u64(at).expect("a pointer"))
    }

    fn field(&self, structure: &str, path: &str) -> u64 {
        let types = self.kernel.types().expect("types");
        types.field(structure, path).expect("a field").offset
    }

    /// Overwrites bytes at an address of the kernel, page by page.
    pub(crate) fn write(&mut self, at: VirtAddr, bytes: &[u8]) -> &mut Self {
        let mut done = 0;
        while done < bytes.len() {
            let here = VirtAddr(at.0 + done as u64);
            let length = (4096 - (here.0 % 4096) as usize).min(bytes.len() - done);
            let place = self.kernel.space.translate(here).expect("mapped");
            self.bytes.insert(place.0, bytes[done..done + length].to_vec());
            done += length;
        }
        self
    }

    pub(crate) fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                (self.random >> 32) as u8
            })
            .collect()
    }

    fn write_noise(&mut self, at: VirtAddr, length: usize) -> &mut Self {
        let noise = self.noise(length);
        self.write(at, &noise)
    }

    /// The core with what was overwritten.
    pub(crate) fn overlaid(self) -> Vmcore {
        let mut core = self.core;
        let below = core.shared_memory();
        core.set_memory(Arc::new(Overlaid { below, bytes: self.bytes }));
        core
    }

    /// The report of what is left. It came soon, and says that something is wrong.
    #[track_caller]
    fn report(self, about: &[&str]) -> Report {
        let core = self.overlaid();
        let before = processor_time();
        let report = Report::of(&core);
        let took = processor_time().saturating_sub(before);
        assert!(took < SOON, "{took:?}");
        assert!(!report.title.is_empty());
        let found = report.findings.iter().any(|finding| about.contains(&finding.about.as_str()));
        assert!(found || about.is_empty(), "none about {about:?}: {:#?}", report.findings);
        crate::reports::checked(&report.to_json());
        report
    }
}

/// The title that the sample has.
const TITLE: &str = "kernel panic: sysrq triggered crash";

#[test]
fn a_log_of_noise_costs_the_log_and_the_stack_tells_the_title() {
    let mut damage = Damage::new();
    let prb = damage.pointer(damage.symbol("prb"));
    damage.write_noise(prb, 80);
    let report = damage.report(&["log"]);
    assert!(report.title.contains("sysrq_handle_crash"), "{}", report.title);
    assert!(report.log.last.is_empty() && report.weak);
}

#[test]
fn a_log_whose_text_is_noise_names_no_crash_of_its_own() {
    let mut damage = Damage::new();
    let prb = damage.pointer(damage.symbol("prb"));
    let ring = damage.field("printk_ringbuffer", "text_data_ring.data");
    let text = damage.pointer(VirtAddr(prb.0 + ring));
    damage.write_noise(text, 64 << 10);
    let report = damage.report(&[]);
    assert!(report.title.contains("sysrq_handle_crash"), "{}", report.title);
}

#[test]
fn symbols_of_noise_cost_the_names_and_the_log_still_tells_the_title() {
    for name in ["kallsyms_token_index", "kallsyms_offsets", "kallsyms_names"] {
        let mut damage = Damage::new();
        let at = damage.symbol(name);
        damage.write_noise(at, 4096);
        assert_eq!(damage.report(&[]).title, TITLE, "{name}");
    }
}

#[test]
fn types_of_noise_cost_tasks_and_modules() {
    let mut damage = Damage::new();
    let at = damage.symbol("__start_BTF");
    damage.write_noise(at, 64 << 10);
    let report = damage.report(&["types", "tasks", "modules"]);
    assert_eq!(report.title, TITLE);
}

#[test]
fn a_list_of_tasks_that_goes_in_a_circle_ends() {
    let mut damage = Damage::new();
    let list = damage.field("task_struct", "tasks");
    let init = VirtAddr(damage.symbol("init_task").0 + list);
    let second = damage.pointer(damage.pointer(init));
    let third = damage.pointer(second);
    // The third is followed by the second, and init is never reached again.
    damage.write(third, &second.0.to_le_bytes());
    let report = damage.report(&["tasks"]);
    assert!(report.tasks.expect("tasks").threads < 1000);
}

#[test]
fn a_list_of_tasks_that_leads_nowhere_ends() {
    for next in [0, 8, 0xffff_ffff_ffff_fff8, 0xdead_beef_dead_beef] {
        let mut damage = Damage::new();
        let init = VirtAddr(damage.symbol("init_task").0 + damage.field("task_struct", "tasks"));
        let second = damage.pointer(init);
        damage.write(second, &u64::to_le_bytes(next));
        assert_eq!(damage.report(&["tasks"]).title, TITLE);
    }
}

#[test]
fn a_list_of_modules_that_goes_in_a_circle_or_nowhere_ends() {
    for circle in [true, false] {
        let mut damage = Damage::new();
        let first = damage.pointer(damage.symbol("modules"));
        let next = if circle { first.0 } else { 0x1000 };
        damage.write(first, &next.to_le_bytes());
        damage.report(&["modules"]);
    }
}

/// The place of the third mount's links, and of the first's.
fn third_mount(damage: &Damage) -> (VirtAddr, VirtAddr) {
    let at = |at: VirtAddr, structure, path| VirtAddr(at.0 + damage.field(structure, path));
    let tasks = damage.pointer(at(damage.symbol("init_task"), "task_struct", "nsproxy"));
    let namespace = damage.pointer(at(tasks, "nsproxy", "mnt_ns"));
    let first = damage.pointer(at(namespace, "mnt_namespace", "list"));
    (damage.pointer(damage.pointer(first)), first)
}

#[test]
fn mounts_that_go_in_a_circle_or_nowhere_end() {
    for circle in [true, false] {
        let mut damage = Damage::new();
        let (third, first) = third_mount(&damage);
        let next = if circle { first.0 } else { 0x1000 };
        damage.write(third, &next.to_le_bytes());
        assert_eq!(damage.report(&["mounts"]).mounts.len(), 5);
    }
}

#[test]
fn a_path_that_goes_in_a_circle_costs_the_path_and_a_super_block_of_noise_the_use() {
    let mut damage = Damage::new();
    let (third, _) = third_mount(&damage);
    let mount = VirtAddr(third.0 - damage.field("mount", "mnt_list"));
    let point = damage.pointer(VirtAddr(mount.0 + damage.field("mount", "mnt_mountpoint")));
    let above = VirtAddr(point.0 + damage.field("dentry", "d_parent"));
    damage.write(above, &point.0.to_le_bytes());
    let report = damage.report(&["mounts"]);
    assert_eq!((report.mounts.len(), &report.mounts[2].mount_point), (5, &None));

    let mut damage = Damage::new();
    let block = damage.pointer(VirtAddr(mount.0 + damage.field("mount", "mnt.mnt_sb")));
    damage.write_noise(block, 256);
    let report = damage.report(&["mounts"]);
    assert!(report.mounts.iter().all(|mount| mount.device != "sys" || mount.total_bytes.is_none()));
}

#[test]
fn a_task_of_noise_costs_that_task() {
    let mut damage = Damage::new();
    let list = damage.field("task_struct", "tasks");
    let size = damage.kernel.types().expect("types").size("task_struct").expect("a size");
    let init = VirtAddr(damage.symbol("init_task").0 + list);
    let task = VirtAddr(damage.pointer(damage.pointer(init)).0 - list);
    damage.write_noise(task, size as usize);
    damage.report(&["tasks"]);
}

#[test]
fn a_stack_of_noise_is_cut_off_or_scanned() {
    let mut damage = Damage::new();
    let report = Report::of(&damage.core);
    let cpu = report.cpus.iter().find(|cpu| cpu.stack.frames.len() > 8).expect("a stack");
    let rsp = cpu.registers.iter().find(|register| register.name == "rsp").expect("rsp");
    let rsp = u64::from_str_radix(rsp.value.trim_start_matches("0x"), 16).expect("a number");
    let length = 0x4000 - rsp % 0x4000;
    damage.write_noise(VirtAddr(rsp), length as usize);
    let damaged = damage.report(&[]);
    assert!(damaged.cpus.iter().all(|cpu| cpu.stack.frames.len() <= 200));
    assert_eq!(damaged.title, TITLE);
}

#[test]
fn page_tables_of_noise_cost_what_they_map() {
    let mut damage = Damage::new();
    let root = damage.kernel.space.root();
    let noise = damage.noise(4096);
    damage.bytes.insert(root.0, noise);
    let report = damage.report(&["kernel"]);
    assert_eq!(report.cpus.len(), 2, "the registers are in the notes");
}

#[test]
fn page_tables_that_map_themselves_end() {
    let mut damage = Damage::new();
    let root = damage.kernel.space.root();
    let entries = (root.0 | 0x63).to_le_bytes().repeat(512);
    damage.bytes.insert(root.0, entries);
    // Such tables seem to be the kernel's: they map their root to where it is.
    damage.report(&["log", "symbols"]);
}

#[test]
fn names_of_many_tokens_cost_the_names() {
    // A length in two bytes: 21,695 and 32,767.
    for length in [[0xbf, 0xa9], [0xff, 0xff]] {
        let mut damage = Damage::new();
        let names = damage.symbol("kallsyms_names");
        for start in [0, 0x1_0000, 0x8_0000] {
            damage.write(VirtAddr(names.0 + start), &length);
        }
        let report = damage.report(&[]);
        let frames = report.cpus.iter().flat_map(|cpu| &cpu.stack.frames);
        assert!(frames.filter_map(|frame| frame.function.as_ref()).all(|name| name.len() < 600));
        assert!(report.to_json().len() < 1 << 20);
    }
}

/// What each task, mount and counter has a part of on each CPU.
#[test]
fn thousands_of_cpus_cost_what_they_are_multiplied_with() {
    let mut damage = Damage::new();
    let mask = damage.symbol("__cpu_possible_mask");
    damage.write(mask, &[0xff; 1024]);
    let report = damage.report(&["tasks"]);
    assert_eq!(report.title, TITLE);
}

#[test]
fn tasks_that_share_a_list_of_threads_are_counted_once() {
    let mut damage = Damage::new();
    let (list, signal) =
        (damage.field("task_struct", "tasks"), damage.field("task_struct", "signal"));
    let head = VirtAddr(damage.symbol("init_task").0 + list);
    let first = damage.pointer(head);
    let shared = damage.pointer(VirtAddr(first.0 - list + signal));
    let mut node = damage.pointer(first);
    let whole = Report::of(&damage.core).tasks.expect("tasks");
    while node != head {
        damage.write(VirtAddr(node.0 - list + signal), &shared.0.to_le_bytes());
        node = damage.pointer(node);
    }
    let tasks = damage.report(&["tasks"]).tasks.expect("tasks");
    assert_eq!((tasks.threads, tasks.processes), (whole.threads, whole.processes));
}

/// Names of tasks, modules and devices are the guest's own.
#[test]
fn no_name_in_memory_is_obeyed_by_a_terminal() {
    const HOSTILE: &[u8] = "\u{1b}[2J\u{9b}\u{202e}\n\0".as_bytes();
    let mut damage = Damage::new();
    let member = |damage: &Damage, node: VirtAddr, structure, list, name| {
        VirtAddr(node.0 - damage.field(structure, list) + damage.field(structure, name))
    };
    let head = damage.symbol("init_task").0 + damage.field("task_struct", "tasks");
    let task = damage.pointer(VirtAddr(head));
    let module = damage.pointer(damage.symbol("modules"));
    let comm = member(&damage, task, "task_struct", "tasks", "comm");
    let name = member(&damage, module, "module", "list", "name");
    let (mount, _) = third_mount(&damage);
    let device = damage.pointer(member(&damage, mount, "mount", "mnt_list", "mnt_devname"));
    for at in [comm, name, device] {
        damage.write(at, HOSTILE);
    }
    let Damage { mut core, bytes, .. } = damage;
    let below = core.shared_memory();
    core.set_memory(Arc::new(Overlaid { below, bytes }));
    let kernel = Kernel::find(&core).expect("a kernel");
    let report = Report::of(&core);
    let mut out = report.to_json();
    let paint = render::report::paint::Paint { colours: false };
    render::report::text::text(&report, paint, &mut out).expect("text");
    render::report::html::page(&report, &mut out).expect("a page");
    render::modules::text(kernel.modules(), &mut out).expect("modules");
    let row = |task| render::tasks::Row { task, time_ns: None, depth: 0 };
    let rows: Vec<_> = kernel.tasks().tasks.iter().map(row).collect();
    render::tasks::text(&rows, &mut out).expect("tasks");
    render::json::pretty(&render::tasks::TasksJson::new(&rows, &[]), &mut out).expect("JSON");
    let out = String::from_utf8(out).expect("UTF-8");
    assert!(out.matches("[2J").count() >= 6);
    assert!(!out.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'));
}

#[test]
fn noise_anywhere_gives_a_report() {
    for seed in 1..=6_u64 {
        let mut damage = Damage::new();
        damage.random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let start = damage.core.memory().ranges()[0].start.0;
        for page in 0..4000_u64 {
            if (page.wrapping_mul(seed * 2 + 1)) % 7 == 0 {
                let noise = damage.noise(4096);
                damage.bytes.insert(start + page * 4096, noise);
            }
        }
        damage.report(&[]);
    }
}
