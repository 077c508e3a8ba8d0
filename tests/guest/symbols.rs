//! The kernel's symbols, by `nm` and the kernel's debug symbols; and the same symbols and the
//! same log where VMCOREINFO does not tell of them, or is not there at all.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vmcorectl::kernel::Kernel;
use vmcorectl::kernel::find::in_memory::Origin;
use vmcorectl::kernel::log::Log;
use vmcorectl::vmcore::Vmcore;

use crate::machine::Machine;
use crate::same_memory::unpack;
use crate::tool::run;

/// Debian's 6.1, in the fast run as well. Its debug symbols may not be there.
#[test]
fn symbols_are_the_same_whatever_tells_of_them() {
    let machine = Machine::panicked(&["--memory", "256M"]);
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let unpacked = unpack(&machine, &entry.join("vmcore.elf.zst"));
    whatever_tells_of_them(&unpacked, true);
    let vmlinux = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest/vmlinux");
    if vmlinux.exists() {
        by_nm(&unpacked, &vmlinux);
    }
}

/// Every function that `nm` finds in the kernel's file is a symbol, moved as far as all others,
/// and there is no symbol that `nm` has not.
pub(crate) fn by_nm(core: &Path, vmlinux: &Path) {
    let output = Command::new("nm").arg(vmlinux).output().expect("nm starts");
    let theirs = String::from_utf8(output.stdout).expect("text");
    let theirs: Vec<(u64, &str, &str)> = theirs.lines().filter_map(line).collect();
    let ours = symbols(core);
    let linked = |name: &str| theirs.iter().find(|(.., found)| *found == name).unwrap().0;
    let text = ours.iter().find(|(_, name)| name == "_text").expect("_text").0;
    let moved = text.wrapping_sub(linked("_text"));
    // Per-CPU symbols are small numbers, which nothing moves.
    let place = |at: u64| if at < 1 << 47 { at } else { at.wrapping_add(moved) };
    let mut functions = 0;
    for (at, kind, name) in &theirs {
        // What the kernel's own build leaves out: labels of the assembler.
        if "tTwW".contains(kind) && !name.starts_with(['$', '.']) {
            assert!(ours.contains(&(place(*at), (*name).to_owned())), "{name} at {at:#x}");
            functions += 1;
        }
    }
    assert!(functions > 40_000, "{functions} functions");
    let theirs: HashSet<(u64, &str)> =
        theirs.iter().map(|(at, _, name)| (place(*at), *name)).collect();
    let more: Vec<_> = ours.iter().filter(|(at, name)| !theirs.contains(&(*at, name))).collect();
    assert!(more.is_empty(), "nm has none of {more:?}");
}

/// The same symbols if VMCOREINFO does not tell where they are, and the same and the same log
/// if there is no VMCOREINFO at all. `cr3`: whether vCPUs tell their page tables.
pub(crate) fn whatever_tells_of_them(core: &Path, cr3: bool) {
    let expected = symbols(core);
    let untold = edited(core, "untold.elf", |text| {
        while let Some(at) = find(text, b"(kallsyms_") {
            text[at..at + 10].copy_from_slice(b"(KALLSYMS_");
        }
    });
    assert!(symbols(&untold) == expected, "found by their structure");
    fs::remove_file(&untold).unwrap();
    if !cr3 {
        return;
    }
    let nothing = edited(core, "nothing.elf", |text| text.fill(0));
    let kernel = Kernel::find(&Vmcore::open(&nothing).unwrap()).expect("a kernel");
    assert!(
        matches!(kernel.source, Origin::Synthetic { with_types: true, .. }),
        "{:?}",
        kernel.source
    );
    let said = kernel.origin().expect("said");
    assert!(said.contains("synthetic"), "{said}");
    assert!(symbols(&nothing) == expected, "found by a vCPU's page tables");
    let noted = Kernel::find(&Vmcore::open(core).unwrap()).unwrap();
    let log = |kernel: &Kernel| Log::read(&kernel.space, &kernel.info).expect("a log").records;
    assert!(log(&kernel) == log(&noted), "the log");
    assert_eq!(kernel.symbols().unwrap().build_id(), noted.symbols().unwrap().build_id());
    assert_eq!(kernel.modules().modules, noted.modules().modules);
    fs::remove_file(&nothing).unwrap();
}

fn symbols(core: &Path) -> HashSet<(u64, String)> {
    let kernel = Kernel::find(&Vmcore::open(core).unwrap()).expect("a kernel");
    let symbols = kernel.symbols().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(symbols.findings(), [] as [&str; 0]);
    symbols.iter().map(|(at, _, name)| (at.0, name.into_owned())).collect()
}

fn line(line: &str) -> Option<(u64, &str, &str)> {
    let mut words = line.splitn(3, ' ');
    let at = u64::from_str_radix(words.next()?, 16).ok()?;
    Some((at, words.next()?, words.next()?))
}

/// A copy of a core whose VMCOREINFO is changed, in its note and in its memory.
fn edited(core: &Path, name: &str, change: impl Fn(&mut [u8])) -> PathBuf {
    let mut bytes = fs::read(core).unwrap();
    let mut from = 0;
    let mut count = 0;
    while let Some(found) = find(&bytes[from..], b"OSRELEASE=") {
        let start = from + found;
        let rest = &bytes[start..bytes.len().min(start + 8192)];
        let end = start + rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        from = start + 10;
        if find(&bytes[start..end], b"\nPAGESIZE=").is_some() {
            change(&mut bytes[start..end]);
            count += 1;
        }
    }
    assert!(count >= 3, "{count} texts: the note, and what the kernel keeps");
    let other = core.with_file_name(name);
    fs::write(&other, bytes).unwrap();
    other
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
}
