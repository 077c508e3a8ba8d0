use proptest::prelude::*;

use super::*;

const INFO: &[u8] =
    b"SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\n\
    OFFSET(printk_log.text_len)=10\nOFFSET(printk_log.dict_len)=12\n";

/// A buffer, written as `log_store` does.
#[derive(Clone)]
struct Written {
    bytes: Vec<u8>,
    first: usize,
    next: usize,
    lengths: std::collections::VecDeque<usize>,
    count: u64,
}

impl Written {
    fn new(length: usize) -> Self {
        Self { bytes: vec![0xee; length], first: 0, next: 0, lengths: [].into(), count: 0 }
    }

    fn push(&mut self, text: &[u8], dictionary: &[u8]) {
        let size = (16 + text.len() + dictionary.len()).next_multiple_of(4);
        // Room for the record, and for an empty header behind it.
        loop {
            let free = if self.next > self.first || self.lengths.is_empty() {
                (self.bytes.len() - self.next).max(self.first)
            } else {
                self.first - self.next
            };
            if free >= size + 16 {
                break;
            }
            self.drop_oldest();
        }
        if self.next + size + 16 > self.bytes.len() {
            let next = self.next;
            self.bytes[next..next + 16].fill(0);
            self.next = 0;
        }
        let mut record = (5_000_000 + self.count).to_le_bytes().to_vec();
        for length in [size, text.len(), dictionary.len()] {
            record.extend((length as u16).to_le_bytes());
        }
        record.extend([3, 4 << 5 | 2]);
        record.extend(text);
        record.extend(dictionary);
        record.resize(size, 0);
        self.bytes[self.next..self.next + size].copy_from_slice(&record);
        self.next += size;
        self.lengths.push_back(size);
        self.count += 1;
    }

    fn drop_oldest(&mut self) {
        let length = self.lengths.pop_front().expect("a record");
        self.first += length;
        let end = self.bytes.get(self.first + 8..self.first + 10);
        if !self.lengths.is_empty() && self.first > self.next && end.is_none_or(|len| len == [0, 0])
        {
            self.first = 0;
        }
    }

    fn buffer(&self) -> RecordBuffer {
        RecordBuffer {
            length: self.bytes.len() as u64,
            first: self.first as u64,
            next: self.next as u64,
        }
    }
}

struct Slice<'a>(&'a [u8]);

impl LogMemory for Slice<'_> {
    type Error = ();

    fn bytes(&self, part: LogPart, offset: u64, length: u64) -> Result<&[u8], ()> {
        assert_eq!(part, LogPart::Text);
        let start = usize::try_from(offset).map_err(|_| ())?;
        self.0.get(start..start.checked_add(length as usize).ok_or(())?).ok_or(())
    }
}

fn read(bytes: &[u8], buffer: &RecordBuffer) -> (Vec<Record>, Result<(), RecordError<()>>) {
    let layout = RecordLayout::of(&VmcoreInfo::parse(INFO), Endian::Little).unwrap();
    let mut found = Vec::new();
    let result = layout.records(buffer, &Slice(bytes), |record| found.push(record));
    (found, result)
}

fn worn() -> Written {
    let mut log = Written::new(1000);
    for number in 0..50_usize {
        let text = format!("record {number} {}", "z".repeat(number % 17));
        log.push(
            text.as_bytes(),
            if number % 5 == 0 { b"SUBSYSTEM=pci\0DEVICE=+pci:1" } else { b"" },
        );
    }
    assert!(log.first > log.next, "it has wrapped");
    log
}

#[test]
fn each_field_of_a_record_is_read() {
    let mut log = Written::new(200);
    log.push(b"text", b"SUBSYSTEM=pci\0DEVICE=+pci:1");
    let (found, result) = read(&log.bytes, &log.buffer());
    assert_eq!(result, Ok(()));
    let device = [("SUBSYSTEM", "pci"), ("DEVICE", "+pci:1")];
    let expected = Record {
        seq: None,
        time_ns: 5_000_000,
        facility: 3,
        level: 4,
        flags: 2,
        caller: None,
        text: b"text".to_vec(),
        dictionary: device.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
    };
    assert_eq!(found, [expected]);
}

#[test]
fn a_buffer_that_wrapped_goes_on_at_its_start() {
    let mut log = Written::new(1000);
    for number in 0..300_usize {
        let text = format!("record {number} {}", "z".repeat(number % 29));
        log.push(text.as_bytes(), b"");
        let (found, result) = read(&log.bytes, &log.buffer());
        assert_eq!(result, Ok(()), "{number}");
        assert_eq!(found.len(), log.lengths.len());
        assert_eq!(found.last().unwrap().text, text.as_bytes());
    }
    assert_eq!(log.buffer().ranges().len(), 1 + usize::from(log.first > log.next));
}

#[test]
fn a_header_of_20_bytes_has_the_caller() {
    let text = String::from_utf8_lossy(INFO).replace("=16\n", "=20\n");
    let layout = RecordLayout::of(&VmcoreInfo::parse(text.as_bytes()), Endian::Big).unwrap();
    let mut bytes = vec![0; 8];
    bytes.extend([0, 24, 0, 2, 0, 0]);
    bytes.extend([0, 2 << 3 | 6]);
    bytes.extend((1_u32 << 31 | 3).to_be_bytes());
    bytes.extend(b"ok\0\0");
    let buffer = RecordBuffer { length: 24, first: 0, next: 24 };
    let mut found = Vec::new();
    layout.records(&buffer, &Slice(&bytes), |record| found.push(record)).unwrap();
    assert_eq!((found[0].caller, found[0].level, found[0].flags), (Some(Caller::Cpu(3)), 6, 2));
    assert_eq!(found[0].text, b"ok");
}

#[test]
fn every_truncation_gives_the_records_before_it_and_says_where() {
    let log = worn();
    let (whole, result) = read(&log.bytes, &log.buffer());
    assert_eq!(result, Ok(()));
    for len in 0..log.bytes.len() {
        let (left, result) = read(&log.bytes[..len], &log.buffer());
        assert!(whole.starts_with(&left), "cut at {len}");
        assert!(result.is_err() || left == whole);
    }
}

#[test]
fn a_key_that_is_missing_is_named() {
    let text = String::from_utf8_lossy(INFO).into_owned();
    for line in text.lines() {
        let without = text.replace(line, "");
        let found = RecordLayout::of(&VmcoreInfo::parse(without.as_bytes()), Endian::Little);
        assert_eq!(found.unwrap_err().key, line.split_once('=').unwrap().0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_ends_the_log_and_never_the_program(
        damage in prop::collection::vec((0..1000_usize, any::<u8>()), 1..30),
        first in 0..1200_u64,
        next in 0..1200_u64,
        keep in any::<bool>(),
    ) {
        let mut log = worn();
        for (at, byte) in damage {
            log.bytes[at] = byte;
        }
        let mut buffer = log.buffer();
        if !keep {
            (buffer.first, buffer.next) = (first, next);
        }
        let (found, _) = read(&log.bytes, &buffer);
        prop_assert!(found.len() <= 1000 / 16);
    }
}
