//! The sample core without pages of some classes, as `export` and `import` write it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::page_class::{LeftOut, PageClass};
use vmcorectl::vmcore::Vmcore;
use vmcorectl::vmcore::memory::{MemoryError, held_ranges};

use crate::CORE;
use crate::tool::{Ran, command};
use crate::transcript::project;

fn run(arguments: &[&str]) -> Ran {
    command(arguments).current_dir(project()).output().expect("the program starts").into()
}

/// A folder, and the file with a name in it.
fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

fn export(folder: &TempDir, name: &str, arguments: &[&str]) -> PathBuf {
    let path = folder.path().join(name);
    run(&[&["export", "-o", path.to_str().unwrap()], arguments].concat()).expect(0);
    path
}

fn held(core: &Vmcore) -> u64 {
    held_ranges(core.memory()).map(|range| range.length).sum()
}

/// How much of a core was left out of each class.
fn left_out(core: &Path) -> Vec<(PageClass, u64)> {
    Vmcore::open(core).unwrap().left_out().map(LeftOut::bytes_by_class).unwrap_or_default()
}

/// What the commands print of a core, without what names the file.
fn answers(core: &Path) -> Vec<String> {
    let core = core.to_str().unwrap();
    let asked: [&[&str]; 8] = [
        &["bt", core, "--all"],
        &["dmesg", core],
        &["ps", core, "--threads"],
        &["mods", core],
        &["regs", core],
        &["info", core, "--kernel", "--json"],
        &["vtop", core, "ff45100d84d90000"],
        &["read", core, "-v", "ffffffff94df9b60", "0x1a0"],
    ];
    asked.iter().map(|arguments| run(arguments).expect(0).stdout).collect()
}

/// The report, without where it comes from.
fn report(core: &Path) -> Value {
    let text = run(&["report", core.to_str().unwrap(), "--json"]).expect(0).stdout;
    let mut report: Value = serde_json::from_str(&text).unwrap();
    report.as_object_mut().unwrap().retain(|key, _| key != "core" && key != "tool");
    report
}

#[test]
fn without_user_pages_and_cache_all_answers_are_the_same() {
    let folder = folder();
    let whole = export(&folder, "whole.elf", &[CORE]);
    let kernel = export(&folder, "kernel.elf", &[CORE, "--pages", "kernel"]);
    assert!(left_out(&whole).is_empty());
    let classes = left_out(&kernel);
    for class in [PageClass::Free, PageClass::Cache, PageClass::User] {
        assert!(classes.iter().any(|(found, _)| *found == class), "{class}: {classes:?}");
    }
    let (full, filtered) = (Vmcore::open(&whole).unwrap(), Vmcore::open(&kernel).unwrap());
    let sum: u64 = classes.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(held(&full), held(&filtered) + sum);
    assert_eq!(full.memory().ranges(), filtered.memory().ranges());
    for (whole, kernel) in answers(&whole).iter().zip(answers(&kernel)) {
        assert_eq!(*whole, kernel);
    }
    assert_eq!(report(&whole), report(&kernel));
    let kernel = kernel.to_str().unwrap();
    run(&["verify", kernel]).expect(0);
    let info = run(&["info", kernel]).expect(0).stdout;
    assert!(info.contains("left out  ") && info.contains("free "), "{info}");
}

#[test]
fn what_is_kept_has_the_same_bytes_and_what_is_not_has_a_class() {
    let folder = folder();
    let kernel = export(&folder, "kernel.elf", &[CORE, "--pages", "kernel"]);
    let full = Vmcore::open(&project().join(CORE)).unwrap();
    let filtered = Vmcore::open(&kernel).unwrap();
    for range in held_ranges(filtered.memory()) {
        let mut bytes = [vec![0; range.length as usize], vec![1; range.length as usize]];
        full.memory().read(range.start, &mut bytes[0]).unwrap();
        filtered.memory().read(range.start, &mut bytes[1]).unwrap();
        assert!(bytes[0] == bytes[1], "{range}");
    }
    for run in &filtered.left_out().unwrap().runs {
        let last = PhysAddr(run.end().0 - 1);
        let error = filtered.memory().read(last, &mut [0]).unwrap_err();
        assert!(matches!(error, MemoryError::LeftOut { class, .. } if class == run.class));
    }
    let gone = filtered.left_out().unwrap().runs[0];
    let text = format!("was left out at capture ({} page)", gone.class);
    let address = format!("{:x}", gone.start.0);
    run(&["read", kernel.to_str().unwrap(), &address, "16"]).says(&text);
    run(&["search", kernel.to_str().unwrap(), "no guest says this"]).says("left out at capture");
}

#[test]
fn a_core_that_is_filtered_again_keeps_what_it_records() {
    let folder = folder();
    let free = export(&folder, "free.elf", &[CORE, "--pages", "free"]);
    let classes = left_out(&free);
    assert!(classes.iter().all(|(class, _)| *class == PageClass::Free), "{classes:?}");
    let again = export(&folder, "again.elf", &[free.to_str().unwrap(), "--pages", "user"]);
    let both = left_out(&again);
    assert_eq!(both[0], classes[0]);
    assert!(both.iter().any(|(class, _)| *class == PageClass::User), "{both:?}");
    let once = export(&folder, "once.elf", &[CORE, "--pages", "free,user"]);
    assert_eq!(left_out(&once), both);
    // All pages: what is not there stays away.
    let all = export(&folder, "all.elf", &[again.to_str().unwrap()]);
    assert_eq!(left_out(&all), both);
}

#[test]
fn an_imported_core_has_its_classes_in_the_metadata() {
    let folder = folder();
    let output = folder.path().join("core.zst");
    let path = output.to_str().unwrap();
    let imported = run(&["import", CORE, "--output", path, "--pages", "kernel", "--json"]);
    let metadata: Value = serde_json::from_str(&imported.expect(0).stdout).unwrap();
    assert_eq!(metadata["request"]["pages"], "kernel");
    let dropped = metadata["pages_dropped"].as_array().unwrap();
    assert!(dropped.iter().any(|name| name == "cache-private"), "{dropped:?}");
    let sums: Vec<_> = left_out(&output)
        .iter()
        .map(|(class, bytes)| serde_json::json!({ "class": class.name(), "bytes": bytes }))
        .collect();
    assert_eq!(metadata["bytes_dropped"], Value::from(sums));
    run(&["verify", path]).expect(0);
    let whole = folder.path().join("whole.zst");
    run(&["import", CORE, "--output", whole.to_str().unwrap()]).expect(0);
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&output) < size(&whole), "{} of {}", size(&output), size(&whole));
}

#[test]
fn a_kdump_file_has_the_level_in_its_header_and_lacks_the_pages() {
    let folder = folder();
    for (pages, level) in [("kernel", 31), ("nonfree", 17), ("all", 0), ("cache", 2)] {
        let arguments = [CORE, "--pages", pages, "--format", "kdump-zstd"];
        let file = export(&folder, pages, &arguments);
        let bytes = std::fs::read(&file).unwrap();
        let found = u32::from_le_bytes(bytes[4096 + 8..4096 + 12].try_into().unwrap());
        assert_eq!(found, level, "{pages}");
        let elf = export(&folder, &format!("{pages}.elf"), &[CORE, "--pages", pages]);
        let (kdump, elf) = (Vmcore::open(&file).unwrap(), Vmcore::open(&elf).unwrap());
        assert_eq!(kdump.left_out(), elf.left_out());
        assert!(held_ranges(kdump.memory()).eq(held_ranges(elf.memory())), "{pages}");
    }
}
