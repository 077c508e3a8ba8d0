use std::fs;

use vmcore_formats::kdump::header::Header;
use vmcore_formats::kdump::sub_header::SubHeader;

use super::*;
use crate::vmcore::reader::kdump::sample::{BLOCK, INFO, Page, Sample, address, bytes_of, open};

const CODECS: [Codec; 4] = [Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd];

/// Exports a core, plain and flattened.
fn export(core: &Vmcore, codec: Codec) -> [Vec<u8>; 2] {
    let file = tempfile::NamedTempFile::new().unwrap();
    let plain = write(core, codec, Target::File(file.as_file()), 2).unwrap();
    let mut bytes = Vec::new();
    let flattened = write(core, codec, Target::Flattened(&mut bytes), 3).unwrap();
    assert_eq!(plain, flattened);
    let plain_bytes = fs::read(file.path()).unwrap();
    assert_eq!(plain_bytes.len() as u64, plain.bytes);
    [plain_bytes, bytes]
}

fn check(core: &Vmcore, sample: &Sample) {
    for (page, kind) in sample.pages.iter().enumerate() {
        let mut bytes = vec![0xee; BLOCK];
        let read = core.memory().read(address(page), &mut bytes);
        match (kind, sample.holds(page)) {
            (_, true) => assert!(read.is_ok() && bytes == bytes_of(*kind), "page {page}"),
            (Page::Absent, _) => assert!(matches!(read, Err(MemoryError::Absent { .. }))),
            _ => assert!(matches!(read, Err(MemoryError::Excluded { .. })), "page {page}"),
        }
    }
}

#[test]
fn what_is_exported_is_read_back_by_every_codec() {
    let sample = Sample::default();
    let core = open(&sample.build()).unwrap();
    for codec in CODECS {
        for (bytes, flattened) in export(&core, codec).iter().zip([false, true]) {
            let again = open(bytes).unwrap();
            let flattened = if flattened { ", flattened" } else { "" };
            let format = format!("kdump-compressed version 6, {}{flattened}", codec.name());
            assert_eq!(again.format(), format);
            assert_eq!(
                (again.note_bytes(), again.identity()),
                (core.note_bytes(), core.identity())
            );
            check(&again, &sample);
        }
    }
}

#[test]
fn other_byte_orders_and_widths_stay_what_they_are() {
    for (wide, big_endian, machine) in
        [(true, true, "s390x"), (false, false, "i686"), (false, true, "ppc")]
    {
        let sample = Sample { wide, big_endian, machine, ..Sample::default() };
        let core = open(&sample.build()).unwrap();
        for bytes in export(&core, Codec::Zstd) {
            let again = open(&bytes).unwrap();
            assert_eq!(
                (again.identity().class, again.identity().endian),
                (core.identity().class, core.identity().endian)
            );
            check(&again, &sample);
        }
    }
}

#[test]
fn the_header_names_the_kernel_and_what_is_unknown_of_it() {
    let core = open(&Sample::default().build()).unwrap();
    let [bytes, _] = export(&core, Codec::Zstd);
    let header = Header::decode(&bytes).unwrap();
    assert_eq!((header.version, header.status, header.block_size), (6, 0x20, 4096));
    assert_eq!(header.max_mapnr as usize, Sample::default().pages.len());
    // libkdumpfile reads the machine only if none of the three is empty.
    let uts = header.uts;
    assert_eq!((&*uts.sysname, &*uts.release), (&b"Linux"[..], &b"6.1.0-test"[..]));
    assert_eq!((&*uts.version, &*uts.machine), (&b"unknown"[..], &b"x86_64"[..]));
    let sub =
        SubHeader::decode(&bytes[BLOCK..], header.class, header.endian, 6, 4096, 8192).unwrap();
    let text = sub.vmcoreinfo;
    let text = &bytes[text.offset as usize..(text.offset + text.length) as usize];
    assert_eq!(text, INFO);
}

#[test]
fn pages_of_zeros_share_one_place() {
    let sample = Sample { pages: vec![Page::Zeros; 1000], ..Sample::default() };
    let core = open(&sample.build()).unwrap();
    for bytes in export(&core, Codec::Zlib) {
        assert!(bytes.len() < 5 * BLOCK + 4096 + 1000 * 24 + 4096, "{}", bytes.len());
        let again = open(&bytes).unwrap();
        assert_eq!(again.memory().zeros(PhysAddr(0)), 1 << 20, "all of the first piece");
    }
}

#[test]
fn a_core_that_was_cut_off_is_exported_as_far_as_it_goes() {
    let sample = Sample::default();
    let whole = sample.build();
    let core = open(&whole[..whole.len() * 3 / 4]).unwrap();
    for bytes in export(&core, Codec::Snappy) {
        let again = open(&bytes).unwrap();
        let mut read = 0;
        for page in (0..sample.pages.len()).filter(|page| sample.holds(*page)) {
            let mut bytes = vec![0xee; BLOCK];
            let here = core.memory().read(address(page), &mut [0; BLOCK]).is_ok();
            assert_eq!(again.memory().read(address(page), &mut bytes).is_ok(), here, "page {page}");
            assert!(!here || bytes == bytes_of(sample.pages[page]));
            read += usize::from(here);
        }
        assert!(read > 0 && again.memory().truncated() == 0);
    }
}

#[test]
fn damage_ends_an_export() {
    let mut bytes = Sample::default().build();
    let last = bytes.len() - 40;
    bytes[last..].fill(0xff);
    let core = open(&bytes).unwrap();
    let error = write(&core, Codec::Zlib, Target::Flattened(&mut Vec::new()), 2).unwrap_err();
    assert!(matches!(error, ExportError::Memory(MemoryError::Damaged { .. })), "{error:?}");
}

#[test]
fn a_closed_pipe_ends_an_export() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let core = open(&Sample::default().build()).unwrap();
    for room in [0, 5000, 30_000] {
        let result = write(&core, Codec::Zlib, Target::Flattened(&mut Full(room)), 2);
        assert!(matches!(result, Err(ExportError::Write(_))), "{room}: {result:?}");
    }
}
