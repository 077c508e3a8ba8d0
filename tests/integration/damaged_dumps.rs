//! Kdump-compressed and flattened files with damage: no command falls over one, and none gives
//! other bytes than the guest's.

use std::fs;
use std::path::Path;

use vmcore_formats::addr::PhysAddr;
use vmcorectl::corefile::read::bytes::Bytes;
use vmcorectl::vmcore::elf_image::ElfImage;
use vmcorectl::vmcore::{MemoryRange, Vmcore};

use crate::core_stream::CoreStream;
use crate::hostile_files::Hostile;

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }
}

/// A guest's core as `export` writes it with these options.
fn exported(hostile: &Hostile, options: &[&str]) -> Vec<u8> {
    let core = hostile.file(&CoreStream::of_guest(5).bytes);
    let output = hostile.path("exported");
    let named = [core.to_str().unwrap(), "-o", output.to_str().unwrap()];
    hostile.run(&[&["export"], &named[..], options].concat()).expect(0);
    fs::read(output).unwrap()
}

/// Reads the file that `mount` would show, page by page. Gives how many pages cannot be read.
fn read_as_mounted(core: &Vmcore) -> usize {
    let Ok(image) = ElfImage::new(core) else { return usize::MAX };
    let pages = image.length().min(16 << 20).div_ceil(4096);
    let unreadable = |page: &u64| {
        let mut buffer =
            vec![0; usize::try_from((image.length() - page * 4096).min(4096)).unwrap()];
        image.read(page * 4096, &mut buffer).is_err()
    };
    (0..pages).filter(unreadable).count()
}

/// No page has bytes that the guest did not have, if it can be read at all.
fn has_no_other_bytes(path: &Path, whole: &Vmcore) {
    let Ok(core) = Vmcore::open(path) else { return };
    read_as_mounted(&core);
    for MemoryRange { start, length } in whole.memory().ranges() {
        for at in (start.0..start.0 + length).step_by(4096).map(PhysAddr) {
            let (mut found, mut wanted) = ([0; 4096], [0; 4096]);
            whole.memory().read(at, &mut wanted).unwrap();
            if core.memory().read(at, &mut found).is_ok() {
                assert!(found == wanted, "{at:?} of {}", path.display());
            }
        }
    }
}

/// Bytes in the middle of compressed pages. zlib's and zstd's checksums or their structure show it.
fn damaged(options: &[&str], from: usize) {
    let hostile = Hostile::new();
    let bytes = exported(&hostile, options);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..4 {
        let mut bytes = bytes.clone();
        for _ in 0..=round * 8 {
            let at = from + numbers.below(bytes.len() - from);
            bytes[at] ^= 1 << numbers.below(8);
        }
        hostile.all_commands(&hostile.file(&bytes));
    }
    for length in [4096, bytes.len() / 2, bytes.len() - 1] {
        let path = hostile.file(&bytes[..length]);
        hostile.all_commands(&path);
        let whole = hostile.path("whole");
        fs::write(&whole, &bytes).unwrap();
        has_no_other_bytes(&path, &Vmcore::open(&whole).unwrap());
    }
}

#[test]
fn a_damaged_kdump_file_costs_what_is_damaged() {
    damaged(&["--format", "kdump-zlib"], 4096);
}

#[test]
fn a_damaged_head_of_a_kdump_file_is_an_error_or_a_finding() {
    damaged(&["--format", "kdump-zstd"], 0);
}

#[test]
fn a_damaged_flattened_file_costs_what_is_damaged() {
    damaged(&["--format", "kdump-zstd", "--flattened"], 4096);
}
