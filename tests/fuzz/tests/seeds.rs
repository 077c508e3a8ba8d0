//! Every input in `seeds` goes through its target, with all limits. What once was a finding is
//! among them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use vmcore_fuzz::{TARGETS, target};

// One test alone: targets measure the time and the memory of the whole process.
#[test]
fn every_seed_runs_within_the_limits() {
    let seeds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let entries = |folder: &PathBuf| -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(folder).expect("a folder of seeds");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let folders = entries(&seeds);
    assert_eq!(folders.len(), TARGETS.len(), "each target has a folder, and each folder a target");
    for folder in folders {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
        let target = target(name).expect("a target for each folder");
        for seed in entries(&folder) {
            // A test that fails prints it: a finding does not say which input it is of.
            println!("{}", seed.display());
            (target.run)(&fs::read(&seed).expect("a seed"));
        }
    }
}
