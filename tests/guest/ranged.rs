//! A real guest whose core lacks pages: what is left out is not read, and the core is the one
//! that is made of all pages afterwards.

use std::fs;
use std::path::Path;

use vmcorectl::metadata::SourceUsed;

use crate::machine::Machine;
use crate::same_memory::unpack_to;
use crate::tool::{metadata_of, run};

#[test]
fn ranges_give_the_core_that_an_export_of_all_pages_gives() {
    let machine = Machine::panicked(&[]);
    let store = machine.store();
    let capture = |source: &str, pages: &str| {
        let monitor = machine.monitor();
        let of = ["capture", &monitor, "--store", &store, "--source", source, "--pages", pages];
        run(of).expect(0).entry()
    };
    let core = |entry: &Path| entry.join("vmcore.elf.zst");
    let whole = capture("stream", "all");
    for pages in ["kernel", "nonfree"] {
        let ranges = capture("stream", pages);
        let source = metadata_of(&ranges).source.unwrap();
        assert_eq!(source.used, SourceUsed::Ranges, "{pages}: {source:?}");
        let direct = capture("auto", pages);
        let hash = |entry: &Path| metadata_of(entry).core.unwrap().chunks_sha256;
        assert_eq!(hash(&ranges), hash(&direct), "{pages}");
        let read = unpack_to(machine.space("ranges.elf"), &core(&ranges));
        let exported = machine.space("exported.elf");
        let whole = core(&whole);
        let arguments =
            ["export", whole.to_str().unwrap(), "--pages", pages, "-o", exported.to_str().unwrap()];
        run(arguments).expect(0);
        assert!(fs::read(&read).unwrap() == fs::read(&exported).unwrap(), "{pages}: other bytes");
        for file in [read, exported] {
            fs::remove_file(file).unwrap();
        }
    }
}
