use std::sync::Arc;

use super::*;
use crate::kernel::test_kernel::{DIRECT, ROOT, TestMemory};
use crate::vmcore::PhysMemory;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::{Paging, X86_64};

#[path = "../../formats/src/printk/synthetic.rs"]
mod synthetic_log;
use synthetic_log::{DESCS_AT, INFOS_AT, SyntheticRing, TEXT_AT};

const PRB: u64 = DIRECT + 0x5_0000;
const PRB_POINTER: u64 = DIRECT + 0x5_1000;

fn place(at: u64) -> u64 {
    at - DIRECT
}

fn with_ring(memory: TestMemory, ring: &SyntheticRing) -> TestMemory {
    memory
        .bytes(place(DESCS_AT), &ring.descs)
        .bytes(place(INFOS_AT), &ring.infos)
        .bytes(place(TEXT_AT), &ring.text)
        .bytes(place(PRB), &ring.header())
        .word(place(PRB_POINTER), PRB)
}

fn read(memory: TestMemory, info: &str) -> Result<Log, LogError> {
    let memory: Arc<dyn PhysMemory> = Arc::new(memory);
    let paging = Paging::X86_64(X86_64::default());
    let space = AddressSpace::new(memory, paging, ROOT, Endian::Little);
    Log::read(&space, &VmcoreInfo::parse(info.as_bytes()))
}

fn info(ring: &SyntheticRing) -> String {
    format!("SYMBOL(prb)={PRB_POINTER:x}\n{}", ring.vmcoreinfo())
}

/// A ring that wrapped.
fn worn() -> SyntheticRing {
    let mut ring = SyntheticRing::new(9, 14);
    for number in 0..2000 {
        ring.push(format!("record {number}").as_bytes());
    }
    ring
}

#[test]
fn the_ring_is_read_through_the_kernels_own_addresses() {
    let ring = worn();
    for pages in [false, true] {
        let log = read(with_ring(TestMemory::mapped(pages), &ring), &info(&ring)).unwrap();
        assert_eq!(log.findings, Vec::<String>::new());
        let texts: Vec<_> =
            log.records.iter().map(|record| String::from_utf8_lossy(&record.text)).collect();
        assert!(texts.len() > 400, "{}", texts.len());
        let first = 2000 - texts.len();
        assert!(
            texts.iter().zip(first..).all(|(text, number)| *text == format!("record {number}"))
        );
    }
}

#[test]
fn a_page_that_is_missing_costs_its_records_alone_and_they_are_reported() {
    let ring = worn();
    let whole = read(with_ring(TestMemory::mapped(true), &ring), &info(&ring)).unwrap().records;
    for (table, what) in [(DESCS_AT, "descriptor"), (INFOS_AT, "time and level"), (TEXT_AT, "text")]
    {
        let page = place(table) / 0x1000 + 1;
        // The page's entry leads out of memory.
        let memory =
            with_ring(TestMemory::mapped(true), &ring).word(0x4000 + page * 8, 0x7fff_f163);
        let log = read(memory, &info(&ring)).unwrap();
        let lost = whole.len() - log.records.len();
        assert!(lost > 10 && log.records.len() > 100, "{what}: {lost} of {}", whole.len());
        assert!(log.records.iter().all(|record| whole.contains(record)));
        let reported = log.findings.iter().filter(|finding| finding.contains(what)).count();
        assert!(reported == lost.min(MAX_FINDINGS), "{what}: {reported} of {lost}");
        assert!(
            log.findings[0].contains("no memory at 0x7ffff000 in the core"),
            "{:?}",
            log.findings
        );
    }
}

#[test]
fn a_log_that_cannot_be_found_is_an_error_that_says_what_was_wanted() {
    let ring = worn();
    let error = |memory, info: &str| read(memory, info).unwrap_err().to_string();
    assert!(error(TestMemory::mapped(false), "").contains("neither prb nor log_buf"));
    let nowhere = format!("SYMBOL(prb)=ffffffff81000000\n{}", ring.vmcoreinfo());
    assert!(error(TestMemory::mapped(false), &nowhere).contains("prb is missing"));
    let mut damaged = with_ring(TestMemory::mapped(false), &ring);
    damaged.write(place(PRB), &40_u32.to_le_bytes());
    assert!(error(damaged, &info(&ring)).contains("2^40 records"));
    let unsaid = info(&ring).replace("SIZE(prb_desc)=24\n", "");
    assert!(error(with_ring(TestMemory::mapped(false), &ring), &unsaid).contains("SIZE(prb_desc)"));
}

const OLD: &str = "SYMBOL(log_buf)=ffff888000050000\nSYMBOL(log_buf_len)=ffff888000050008\n\
    SYMBOL(log_first_idx)=ffff88800005000c\nSYMBOL(log_next_idx)=ffff888000050010\n\
    SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\n\
    OFFSET(printk_log.text_len)=10\nOFFSET(printk_log.dict_len)=12\n";

fn old(length: u32, first: u32, next: u32, bytes: &[u8]) -> TestMemory {
    let numbers = [length, first, next].into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    TestMemory::mapped(false)
        .word(0x5_0000, TEXT_AT)
        .bytes(0x5_0008, &numbers)
        .bytes(place(TEXT_AT), bytes)
}

fn old_record(text: &[u8]) -> Vec<u8> {
    let mut bytes = 7_000_000_u64.to_le_bytes().to_vec();
    bytes.extend((16 + text.len().next_multiple_of(4) as u16).to_le_bytes());
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend([0, 0, 0, 6 << 5]);
    bytes.extend(text);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn the_buffer_of_older_kernels_is_read() {
    let bytes = [old_record(b"first"), old_record(b"second")].concat();
    let log = read(old(4096, 0, bytes.len() as u32, &bytes), OLD).unwrap();
    let found: Vec<_> =
        log.records.iter().map(|record| (record.text.as_slice(), record.level)).collect();
    assert_eq!(found, [(&b"first"[..], 6), (b"second", 6)]);
    assert!(log.findings.is_empty());
}

#[test]
fn an_older_log_ends_where_it_is_damaged_and_says_so() {
    let mut bytes = [old_record(b"first"), old_record(b"second")].concat();
    let next = bytes.len() as u32;
    bytes[24 + 8] = 0;
    let log = read(old(4096, 0, next, &bytes), OLD).unwrap();
    assert_eq!(log.records.len(), 1);
    assert!(log.findings[0].contains("at byte 24 of its buffer"), "{:?}", log.findings);
    for (length, first, next) in [(0, 0, 0), (4096, 4096, 0), (4096, 0, 4097), (u32::MAX, 0, 1)] {
        let error = read(old(length, first, next, &bytes), OLD).unwrap_err();
        assert!(matches!(error, LogError::Buffer { .. }), "{length} {first} {next}");
    }
}
