//! Which pages each choice of `--pages` keeps, page by page, against makedumpfile and drgn.
//!
//! makedumpfile filters the whole core of the same held guest, once at each level; which pages it
//! keeps is in its file's bitmap. From these sets follows what each class has:
//!
//! ```text
//! -d 2    cache               + offline + poison
//! -d 4    cache, private too  + offline + poison
//! -d 8    user, hugetlb       + offline + poison
//! -d 16   free                + offline + poison
//! ```
//!
//! Zero pages are known to its writer alone: they are in the bitmap, and in our cores.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::filled::Filled;
use crate::judges;
use crate::machine::Machine;
use crate::same_memory::{Core, unpack_to};
use crate::tool::{metadata_file, run};

const PAGE: u64 = 4096;
/// The flash of QEMU's PC: memory without struct pages. makedumpfile drops it at each level, and it
/// is kept here, as all that has no class.
const FLASH: Range<u64> = 0xfffc0..0x10_0000;

/// Pages, by their numbers.
type Pages = BTreeSet<u64>;

#[test]
fn each_choice_keeps_the_pages_that_makedumpfile_keeps() {
    let guest = Filled::new(None, &[]).panics();
    // Debian 12's is a judge of this kernel.
    judged(&guest, Path::new("makedumpfile"), &[]);
}

/// The kernels that makedumpfile 1.7.8 reads.
#[test]
fn older_kernels_in_the_full_run() {
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    // Huge pages whose struct pages share memory, where the kernel can have them so.
    let options = ["--append", "hugetlb_free_vmemmap=on"];
    for kernel in ["guest-5.10", "guest-6.1", "guest-6.12"] {
        let guest = Filled::new(Some(&target(kernel)), &options).panics();
        judged(&guest, &target("makedumpfile/makedumpfile"), &[]);
    }
}

/// makedumpfile 1.7.8 does not know the 52 bits of newer kernels' addresses, whatever the processor
/// has.
#[test]
fn arm64_in_the_full_run() {
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    let guest = Filled::new(Some(&target("guest-6.1-arm64")), &[]).stops();
    judged(&guest, &target("makedumpfile-arm64/makedumpfile"), &["--any-state"]);
}

/// No released makedumpfile reads Linux 7.2: its judge is drgn, if the kernel's debug symbols are there
/// (`tests/run --full --symbols`). Not its knowledge of dumps, but where the symbols have each field.
#[test]
fn linux_7_2_by_its_page_flags_in_the_full_run() {
    let vmlinux = target("guest-7.2/vmlinux");
    if env::var_os("VMCORECTL_TEST_FULL").is_none() || !vmlinux.exists() {
        return;
    }
    let options = ["--append", "hugetlb_free_vmemmap=on"];
    let guest = Filled::new(Some(&target("guest-7.2")), &options).panics();
    let (stored, whole) = whole_core(&guest.machine, &[]);
    let all = pages_of(&whole);
    let script = include_str!("page_flags.py");
    let said = judges::drgn_says(script, &whole, vmlinux.to_str().unwrap());
    let of = |wanted: &[&str]| -> Pages {
        let run = |line: &str| {
            let mut words = line.split(' ');
            let mut number = || words.next().unwrap().parse::<u64>().unwrap();
            let (first, last) = (number(), number());
            wanted.contains(&words.next().unwrap()).then_some(first..=last)
        };
        said.lines().filter_map(run).flatten().collect()
    };
    let choices = [
        ("zero", of(&[])),
        ("cache", of(&["cache"])),
        ("cache-private", of(&["cache-private"])),
        ("user", of(&["user"])),
        ("free", of(&["free"])),
        ("offline", of(&["offline"])),
        ("nonfree", of(&["free", "offline"])),
        ("kernel", of(&["cache", "cache-private", "user", "free", "offline"])),
    ];
    let poison = of(&["poison"]);
    assert_eq!(poison.len() as u64, guest.poisoned(), "what the guest counts as damaged");
    for (choice, theirs) in choices {
        let ours = &all - &kept_by_us(&guest.machine, choice, &stored, &[]);
        same(choice, &ours, &(&theirs | &poison));
        assert!(
            choice == "zero" || ours.len() > poison.len(),
            "{choice}: the guest has no such pages"
        );
    }
}

/// What `tests/run --full` builds.
fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name)
}

/// Compares the pages that captures, exports and imports keep with those that a judge keeps.
fn judged(guest: &Filled, makedumpfile: &Path, more: &[&str]) {
    let machine = &guest.machine;
    let (stored, whole) = whole_core(machine, more);
    let all = pages_of(&whole);
    let flash: Pages = all.iter().copied().filter(|page| FLASH.contains(page)).collect();

    let dropped = |level: u32| -> Pages { &all - &kept(machine, makedumpfile, &whole, level) };
    let theirs = Levels::new(&dropped, &flash);
    // Zero pages are in the bitmap. Offline pages and poison are, too, by older versions.
    let beside = &dropped(1) - &flash;
    assert!(beside.is_subset(&theirs.offline), "-d 1: {}", shown(&(&beside - &theirs.offline)));
    let ours = |pages: &str| -> Pages { &all - &kept_by_us(machine, pages, &stored, more) };
    let poison = ours("zero");
    assert_eq!(poison.len() as u64, guest.poisoned(), "what the guest counts as damaged");
    assert!(poison.is_subset(&theirs.offline), "{}", shown(&(&poison - &theirs.offline)));
    for (choice, theirs) in theirs.choices() {
        let ours = ours(choice);
        same(choice, &ours, &(&theirs | &poison));
        assert!(ours.len() > poison.len(), "{choice}: the guest has no such pages");
    }
}

/// What makedumpfile drops at each level, but for the flash.
struct Levels {
    cache: Pages,
    private_too: Pages,
    user: Pages,
    free: Pages,
    /// With poison.
    offline: Pages,
    nonfree: Pages,
    kernel: Pages,
}

impl Levels {
    fn new(dropped: &dyn Fn(u32) -> Pages, flash: &Pages) -> Self {
        let level = |level| {
            let dropped = dropped(level);
            assert!(flash.is_subset(&dropped), "-d {level} keeps the flash");
            &dropped - flash
        };
        let [cache, private_too, user, free] = [2, 4, 8, 16].map(level);
        let offline = &cache & &free;
        assert_eq!(offline, &user & &private_too, "what each level drops");
        Self { cache, private_too, user, free, offline, nonfree: level(17), kernel: level(31) }
    }

    /// What each choice is to drop, but for poison.
    fn choices(&self) -> [(&'static str, Pages); 7] {
        [
            ("cache", &self.cache - &self.offline),
            ("cache-private", &self.private_too - &self.cache),
            ("user", &self.user - &self.offline),
            ("free", &self.free - &self.offline),
            ("offline", self.offline.clone()),
            ("nonfree", self.nonfree.clone()),
            ("kernel", self.kernel.clone()),
        ]
    }
}

/// Whether the pages are the same that a choice drops here, and by a judge.
fn same(choice: &str, ours: &Pages, theirs: &Pages) {
    let (more, less) = (ours - theirs, theirs - ours);
    assert!(more.is_empty(), "{choice}: dropped here alone: {}", shown(&more));
    assert!(less.is_empty(), "{choice}: kept here alone: {}", shown(&less));
}

/// The whole core, as captured and unpacked.
fn whole_core(machine: &Machine, more: &[&str]) -> (PathBuf, PathBuf) {
    let stored = machine.space("whole.zst");
    capture(machine, "all", &stored, more);
    let whole = unpack_to(machine.space("whole.elf"), &stored);
    (stored, whole)
}

fn capture(machine: &Machine, pages: &str, core: &Path, more: &[&str]) {
    let monitor = machine.monitor();
    let arguments = ["capture", &monitor, "--pages", pages, "--output", core.to_str().unwrap()];
    run(arguments.iter().chain(more)).expect(0);
}

/// The pages that a capture keeps. An export and an import of the whole core keep the same.
fn kept_by_us(machine: &Machine, pages: &str, whole: &Path, more: &[&str]) -> Pages {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = |name: &str| folder.path().join(name);
    let (captured, exported, imported) = (path("captured"), path("exported"), path("imported"));
    capture(machine, pages, &captured, more);
    let metadata = metadata_file(&path("captured.json"));
    assert_eq!(metadata.warnings, [""; 0], "{pages}");
    let kept = pages_of(&unpack_to(path("captured.elf"), &captured));

    let whole = whole.to_str().unwrap();
    run(["export", whole, "--pages", pages, "-o", exported.to_str().unwrap()]).expect(0);
    assert!(kept == pages_of(&exported), "{pages}: export");
    run(["import", whole, "--pages", pages, "--output", imported.to_str().unwrap()]).expect(0);
    assert!(kept == pages_of(&unpack_to(path("imported.elf"), &imported)), "{pages}: import");
    kept
}

/// The pages that a core has.
fn pages_of(core: &Path) -> Pages {
    let core = Core::open(core);
    let segments = core.segments();
    let numbers = segments.values().flat_map(|segment| {
        assert_eq!((segment.p_paddr % PAGE, segment.p_filesz % PAGE), (0, 0), "{segment:?}");
        segment.p_paddr / PAGE..(segment.p_paddr + segment.p_filesz) / PAGE
    });
    numbers.collect()
}

/// The pages that makedumpfile keeps of a core at a level.
fn kept(machine: &Machine, program: &Path, whole: &Path, level: u32) -> Pages {
    let file = machine.space("judge");
    let _ = fs::remove_file(&file);
    let mut command = Command::new(program);
    command.args(["-d", &level.to_string()]).arg(whole).arg(&file);
    let output = command.output().expect("makedumpfile starts");
    assert!(output.status.success(), "-d {level}: {output:?}");
    bitmap(&fs::read(&file).unwrap())
}

/// The pages that a kdump-compressed file has, by the second of its bitmaps.
fn bitmap(file: &[u8]) -> Pages {
    assert!(file.starts_with(b"KDUMP   "), "{:?}", &file[..8]);
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (block, sub_header, of_bitmaps) = (number(428), number(432), number(436));
    let (start, length) = ((1 + sub_header) * block, of_bitmaps * block);
    let second = &file[start + length / 2..start + length];
    let bits = |(at, byte): (usize, &u8)| {
        let (at, byte) = (at as u64 * 8, *byte);
        (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at + bit)
    };
    second.iter().enumerate().flat_map(bits).collect()
}

/// How many pages, and the first of them.
fn shown(pages: &Pages) -> String {
    let first: Vec<_> = pages.iter().take(8).map(|page| format!("{page:#x}")).collect();
    format!("{} pages, from {}", pages.len(), first.join(" "))
}
