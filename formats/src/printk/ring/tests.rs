use proptest::prelude::*;

use super::*;
use crate::endian::Endian;
use crate::printk::synthetic::SyntheticRing;
use crate::printk::{Caller, LayoutError};
use crate::vmcoreinfo::VmcoreInfo;

impl LogMemory for SyntheticRing {
    type Error = LogPart;

    fn bytes(&self, part: LogPart, offset: u64, length: u64) -> Result<&[u8], LogPart> {
        let bytes = match part {
            LogPart::Descriptors => &self.descs,
            LogPart::Infos => &self.infos,
            LogPart::Text => &self.text,
        };
        let start = offset as usize;
        bytes.get(start..start + length as usize).ok_or(part)
    }
}

type Outcome = Result<Record, MissingRecord<LogPart>>;

fn layout(ring: &SyntheticRing, endian: Endian) -> RingLayout {
    RingLayout::of(&VmcoreInfo::parse(ring.vmcoreinfo().as_bytes()), endian).unwrap()
}

fn read(ring: &SyntheticRing) -> Vec<Outcome> {
    let layout = layout(ring, Endian::Little);
    let header = layout.ring(&ring.header()).unwrap();
    let mut found = Vec::new();
    layout.records(&header, ring, |record| found.push(record));
    found
}

fn texts(found: &[Outcome]) -> Vec<String> {
    let text = |record: &Outcome| {
        String::from_utf8(record.as_ref().expect("no gap").text.clone()).unwrap()
    };
    found.iter().map(text).collect()
}

#[test]
fn each_field_is_read_where_vmcoreinfo_says() {
    for endian in [Endian::Little, Endian::Big] {
        let mut ring = SyntheticRing::shaped(3, 8, 24, false, endian == Endian::Big);
        ring.push(b"first");
        ring.push(b"second one");
        let layout = layout(&ring, endian);
        let header = layout.ring(&ring.header()).unwrap();
        let mut found = Vec::new();
        layout.records(&header, &ring, |record| found.push(record.unwrap()));
        let device = [("SUBSYSTEM", "pci"), ("DEVICE", "+pci:0000:00:03.0")];
        let first = Record {
            seq: Some(0),
            time_ns: 1_000_000_000,
            facility: 0,
            level: 0,
            flags: 2,
            caller: Some(Caller::Thread(0)),
            text: b"first".to_vec(),
            dictionary: device.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        };
        assert_eq!(found[0], first);
        assert_eq!((found[1].seq, found[1].time_ns, found[1].level), (Some(1), 1_000_001_000, 1));
        assert_eq!(
            (found[1].caller, found[1].text.as_slice()),
            (Some(Caller::Cpu(1)), &b"second one"[..])
        );
        assert_eq!(found.len(), 2);
    }
}

#[test]
fn a_ring_without_records_has_none() {
    assert_eq!(read(&SyntheticRing::new(3, 8)), []);
}

/// The incident: logs of 6.8, 6.14 and 6.17 lost one record where the positions pass zero.
#[test]
fn positions_wrap_at_2_to_the_64() {
    let mut ring = SyntheticRing::new(5, 9);
    for number in 0..200 {
        let text = format!("record {number} {}", "x".repeat(number % 23));
        ring.push(text.as_bytes());
        let found = texts(&read(&ring));
        let newest = found.last().expect("a record");
        assert_eq!(*newest, text, "{number}");
        let oldest = number + 1 - found.len();
        let all: Vec<_> = (oldest..=number)
            .map(|number| format!("record {number} {}", "x".repeat(number % 23)))
            .collect();
        assert_eq!(found, all);
        assert!(found.len() > 8 || oldest == 0, "the ring holds several");
    }
    assert!(ring.head_lpos < 1 << 60, "it has passed zero");
}

/// The incident: 7.0's kernel writes a block whose `next` is 0.
#[test]
fn a_block_may_end_where_the_ring_does() {
    let mut ring = SyntheticRing::shaped(4, 8, 0, true, false);
    for number in 0..40 {
        // 8 blocks of 32 bytes fill the ring of 256.
        let text = format!("exact fit {number:<12}");
        ring.push(text.as_bytes());
        let found = texts(&read(&ring));
        assert_eq!(found.len(), (number + 1).min(8));
        assert_eq!(found.last(), Some(&text));
        if number == 7 {
            assert_eq!(ring.block(ring.head_id).1, 0);
        }
    }
}

#[test]
fn an_empty_line_is_kept_and_a_lost_text_is_a_gap() {
    let mut ring = SyntheticRing::new(3, 8);
    ring.push(b"before");
    ring.push(b"");
    let lost = ring.push(b"lost");
    ring.set_block(lost, 1, 1);
    ring.push(b"behind");
    let found = read(&ring);
    assert_eq!(found[1].as_ref().unwrap().text, b"");
    assert_eq!(found[2], Err(MissingRecord { id: lost, seq: Some(2), gap: Gap::Lost }));
    assert_eq!(texts(&found[3..]), ["behind"]);
}

#[test]
fn a_record_that_was_being_written_is_a_gap() {
    let mut ring = SyntheticRing::new(3, 8);
    ring.push(b"before");
    let id = ring.push(b"half");
    ring.set_state(id, 0);
    let found = read(&ring);
    assert_eq!(found[1], Err(MissingRecord { id, seq: Some(1), gap: Gap::Reserved }));
}

#[test]
fn a_committed_record_counts_before_it_is_final() {
    let mut ring = SyntheticRing::new(3, 8);
    let id = ring.push(b"to be continued");
    ring.set_state(id, 1);
    assert_eq!(texts(&read(&ring)), ["to be continued"]);
}

#[test]
fn contradictions_are_gaps_and_hide_nothing_else() {
    let mut ring = SyntheticRing::new(3, 8);
    let ids: Vec<_> =
        (0..5).map(|number| ring.push(format!("record {number}").as_bytes())).collect();
    let (begin, next) = ring.block(ids[1]);
    ring.set_block(ids[1], begin, next.wrapping_add(3000));
    let (begin, next) = ring.block(ids[2]);
    ring.set_block(ids[2], begin.wrapping_add(16), next.wrapping_add(16));
    ring.set_state(ids[3] + 8, 2);
    let found = read(&ring);
    let gaps: Vec<_> =
        found.iter().map(|record| record.as_ref().err().map(|gap| &gap.gap)).collect();
    assert!(matches!(
        gaps[..],
        [None, Some(Gap::Block { .. }), Some(Gap::Foreign { .. }), Some(Gap::Stale { .. }), None]
    ));
}

#[test]
fn texts_that_overlap_are_no_more_than_the_ring() {
    // Each block begins with its own id, eight bytes behind the one before, and goes on to the end.
    let mut ring = SyntheticRing::new(4, 8);
    let ids: Vec<_> = (0..15).map(|_| ring.push(b"")).collect();
    for (number, id) in (0..).zip(&ids) {
        let at = number as usize * 8;
        ring.text[at..at + 8].copy_from_slice(&id.to_le_bytes());
        ring.set_block(*id, number * 8, 256);
        let info = *id as usize % 16 * ring.info_size() + 16;
        ring.infos[info..info + 2].copy_from_slice(&u16::MAX.to_le_bytes());
    }
    (ring.tail_lpos, ring.head_lpos) = (0, 256);
    let found = read(&ring);
    let length: usize = found.iter().flatten().map(|record| record.text.len()).sum();
    assert!(length <= 256, "{length}");
    let overlap =
        |record: &Outcome| matches!(record, Err(MissingRecord { gap: Gap::Overlapping, .. }));
    assert_eq!(found.iter().filter(|record| overlap(record)).count(), 14);
}

#[test]
fn a_log_of_more_than_a_million_records_is_refused() {
    let ring = SyntheticRing::new(3, 8);
    let layout = layout(&ring, Endian::Little);
    let mut header = ring.header();
    header[0] = 21;
    header[24..32].copy_from_slice(&((ring.tail_id + (1 << 20)) & ID_MASK).to_le_bytes());
    assert!(layout.ring(&header).is_ok());
    header[24..32].copy_from_slice(&((ring.tail_id + (1 << 21) - 1) & ID_MASK).to_le_bytes());
    assert!(matches!(layout.ring(&header), Err(RingError::Long { .. })));
}

#[test]
fn numbers_that_do_not_follow_are_reported() {
    let mut ring = SyntheticRing::new(3, 8);
    ring.push(b"zero");
    let id = ring.push(b"one");
    let at = id as usize % 8 * ring.info_size();
    ring.infos[at] = 7;
    let found = read(&ring);
    assert_eq!(found[1], Err(MissingRecord { id, seq: Some(1), gap: Gap::Sequence { seq: 7 } }));
    assert_eq!(found[2].as_ref().unwrap().text, b"one");
}

#[test]
fn a_text_longer_than_its_block_is_cut_there() {
    let mut ring = SyntheticRing::new(3, 8);
    let id = ring.push(b"eight---");
    ring.push(b"other");
    let at = id as usize % 8 * ring.info_size() + 16;
    ring.infos[at..at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
    assert_eq!(texts(&read(&ring)), ["eight---", "other"]);
}

#[test]
fn sizes_that_no_kernel_has_are_refused() {
    let ring = SyntheticRing::new(3, 8);
    let layout = layout(&ring, Endian::Little);
    for (at, value) in [(0, 22), (0, u32::MAX), (48, 27), (48, u32::MAX)] {
        let mut header = ring.header();
        header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        assert!(matches!(layout.ring(&header), Err(RingError::Size { .. })), "{at} {value}");
    }
    let mut header = ring.header();
    header[24] ^= 0x10;
    assert!(matches!(layout.ring(&header), Err(RingError::InUse { .. })));
    for len in 0..header.len() - 8 {
        assert!(layout.ring(&header[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn every_key_that_is_missing_is_named() {
    let ring = SyntheticRing::new(3, 8);
    let text = ring.vmcoreinfo();
    let optional = ["dev_info", "dev_printk_info", "printk_info_subsystem", "printk_info_device"];
    for line in text.lines() {
        let (key, _) = line.split_once('=').unwrap();
        let without: String =
            text.lines().filter(|other| *other != line).map(|line| format!("{line}\n")).collect();
        let found = RingLayout::of(&VmcoreInfo::parse(without.as_bytes()), Endian::Little);
        if optional.iter().any(|optional| key.contains(optional)) {
            assert!(found.unwrap().device.is_none(), "{key}");
        } else {
            assert_eq!(found, Err(LayoutError { key: key.to_owned() }));
        }
        let huge = text.replace(line, &format!("{key}=18446744073709551615"));
        let _ = RingLayout::of(&VmcoreInfo::parse(huge.as_bytes()), Endian::Little);
    }
}

/// A ring that wrapped, with each kind of record.
fn worn() -> SyntheticRing {
    let mut ring = SyntheticRing::new(4, 9);
    for number in 0..40_usize {
        let text = if number % 7 == 3 {
            String::new()
        } else {
            format!("{number} {}", "y".repeat(number))
        };
        ring.push(text.as_bytes());
    }
    ring
}

#[test]
fn every_truncation_of_a_part_gives_the_records_that_are_left() {
    let whole = read(&worn());
    assert!(whole.iter().all(Result::is_ok));
    for part in [LogPart::Descriptors, LogPart::Infos, LogPart::Text] {
        let length = match part {
            LogPart::Descriptors => worn().descs.len(),
            LogPart::Infos => worn().infos.len(),
            LogPart::Text => worn().text.len(),
        };
        for len in 0..length {
            let mut ring = worn();
            match part {
                LogPart::Descriptors => ring.descs.truncate(len),
                LogPart::Infos => ring.infos.truncate(len),
                LogPart::Text => ring.text.truncate(len),
            }
            let left = read(&ring);
            let kept: Vec<_> = left.iter().filter(|record| record.is_ok()).collect();
            assert!(kept.iter().all(|record| whole.contains(record)), "{part:?} cut at {len}");
            assert!(left.len() >= whole.len(), "each that is missing is reported");
        }
    }
}

#[test]
fn what_is_in_use_is_what_is_read() {
    let ring = worn();
    let layout = layout(&ring, Endian::Little);
    let header = layout.ring(&ring.header()).unwrap();
    for part in [LogPart::Descriptors, LogPart::Infos, LogPart::Text] {
        let ranges = layout.ranges(&header, part);
        assert!(ranges.len() <= 2);
        let mut holes = worn();
        let bytes = match part {
            LogPart::Descriptors => &mut holes.descs,
            LogPart::Infos => &mut holes.infos,
            LogPart::Text => &mut holes.text,
        };
        for (index, byte) in bytes.iter_mut().enumerate() {
            let index = index as u64;
            if !ranges.iter().any(|(start, length)| (*start..start + length).contains(&index)) {
                *byte = 0xff;
            }
        }
        assert_eq!(read(&holes), read(&ring), "{part:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_costs_records_and_never_a_panic(
        damage in prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), any::<u8>()), 1..40),
        header in prop::collection::vec((0..88_usize, any::<u8>()), 0..4),
    ) {
        let mut ring = worn();
        for (part, index, byte) in damage {
            let bytes = match part {
                0 => &mut ring.descs,
                1 => &mut ring.infos,
                _ => &mut ring.text,
            };
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let layout = layout(&ring, Endian::Little);
        let mut bytes = ring.header();
        for (at, byte) in header {
            bytes[at] = byte;
        }
        if let Ok(header) = layout.ring(&bytes) {
            let mut count = 0_u64;
            layout.records(&header, &ring, |_| count += 1);
            prop_assert!(count <= 2 * header.count());
            for part in [LogPart::Descriptors, LogPart::Infos, LogPart::Text] {
                for (offset, length) in layout.ranges(&header, part) {
                    prop_assert!(offset + length <= 88 << MAX_COUNT_BITS);
                }
            }
        }
    }
}
