//! One flipped byte in a chunk: the report costs little more than that of the whole core.
//!
//! Work is counted in bytes that are read and unpacked, which are the same on any machine.

use std::fs::File;
use std::io::Write;

use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::seekable::{FrameEntry, SeekTable};
use vmcorectl::kernel::Kernel;
use vmcorectl::triage::report::Report;
use vmcorectl::vmcore::Vmcore;

use crate::CORE;
use crate::transcript::project;

/// The sample in chunks of another length.
struct Rechunked {
    frames: Vec<Vec<u8>>,
    table: SeekTable,
    chunk: usize,
}

impl Rechunked {
    fn of(core: &Vmcore, chunk: usize) -> Self {
        let file = core.elf().expect("an ELF core");
        let mut zstd = zstd::bulk::Compressor::new(1).expect("zstd");
        zstd.include_checksum(true).expect("zstd");
        let (mut frames, mut table) = (Vec::new(), SeekTable::default());
        let mut at = 0;
        while at < file.length() {
            let mut bytes = vec![0; chunk.min((file.length() - at) as usize)];
            file.read(at, &mut bytes).expect("the sample is whole");
            at += bytes.len() as u64;
            let packed = zstd.compress(&bytes).expect("zstd");
            let checksum = packed.last_chunk().map(|bytes| u32::from_le_bytes(*bytes));
            let (compressed, decompressed) = (packed.len() as u32, bytes.len() as u32);
            table.push(FrameEntry { compressed, decompressed, checksum });
            frames.push(packed);
        }
        Self { frames, table, chunk }
    }

    /// The core, with a byte of the chunk flipped that has the byte at `offset`.
    fn damaged(&self, offset: Option<u64>) -> Vmcore {
        let damaged = offset.map(|offset| (offset / self.chunk as u64) as usize);
        let mut file = tempfile::tempfile().expect("a file");
        for (index, frame) in self.frames.iter().enumerate() {
            let mut frame = frame.clone();
            if damaged == Some(index) {
                let middle = frame.len() / 2;
                frame[middle] ^= 0x10;
            }
            file.write_all(&frame).expect("written");
        }
        file.write_all(&self.table.encode().expect("a table")).expect("written");
        opened(file)
    }
}

fn opened(file: File) -> Vmcore {
    Vmcore::of_file(file, &project().join("rechunked")).expect("a core")
}

/// The report, and how many bytes it read and unpacked.
fn report(core: &Vmcore) -> (Report, u64) {
    let report = Report::of(core);
    (report, core.chunked().expect("compressed").file().work_done())
}

/// Where the byte at `at` of the guest's memory is in the unpacked core.
fn offset_of(core: &Vmcore, at: PhysAddr) -> u64 {
    let has = |physical: u64, length| (physical..physical + length).contains(&at.0);
    let mut segments = core.segments().iter();
    let segment = segments.find(|segment| has(segment.physical.0, segment.file_size));
    let segment = segment.expect("in a segment");
    segment.offset + (at.0 - segment.physical.0)
}

/// Whatever the chunk has, and whatever size it has.
#[test]
fn a_flipped_byte_costs_at_most_three_times_the_work() {
    let core = Vmcore::open(&project().join(CORE)).expect("the sample");
    let kernel = Kernel::find(&core).expect("its kernel");
    let pointer = |name: &str| {
        VirtAddr(kernel.space.read_u64(kernel.symbol(name).expect(name)).expect("a pointer"))
    };
    let symbol = |name: &str| kernel.symbol(name).or_else(|| kernel.info.symbol(name)).expect(name);
    let places = [
        ("symbols", symbol("kallsyms_num_syms")),
        ("tokens", symbol("kallsyms_token_table")),
        ("names", symbol("kallsyms_names")),
        ("types", symbol("__start_BTF")),
        ("log", pointer("prb")),
        ("tasks", symbol("init_task")),
        ("code", symbol("panic")),
        ("page tables", symbol("swapper_pg_dir")),
    ];
    for chunk in [1 << 20, 8 << 20] {
        let rechunked = Rechunked::of(&core, chunk);
        let (whole, work) = report(&rechunked.damaged(None));
        assert!(whole.title.contains("sysrq"), "{}", whole.title);
        for (what, at) in places {
            let place = kernel.space.translate(at).expect(what);
            let damaged = rechunked.damaged(Some(offset_of(&core, place)));
            let (report, more) = report(&damaged);
            let times = more as f64 / work as f64;
            assert!(
                times < 3.0,
                "{what}, chunks of {chunk}: {more} bytes are {times:.1} times {work}"
            );
            let read = report.findings.iter().any(|finding| finding.text.contains("damaged"));
            assert!(read || report.title == whole.title, "{what}: {:#?}", report.findings);
        }
    }
}
