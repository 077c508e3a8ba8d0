use super::*;
use crate::tables::row::{Cpu, Frame, Kernel, Module, Tasks};

fn row(id: &str) -> Row {
    let metadata = r#"{"started": "2026-01-01T00:00:00.123456Z", "guest": {"name": "web"}}"#;
    let entry = &format!("web/{id}");
    let texts = crate::tables::EntryTexts {
        entry,
        metadata: metadata.as_bytes(),
        report: None,
        core_bytes: None,
        pack_bytes: None,
    };
    texts.row().unwrap()
}

fn full(id: &str) -> Row {
    let frame = |function: Option<&str>| Frame {
        function: function.map(str::to_owned),
        trust: Some("orc".to_owned()),
        ..Frame::default()
    };
    let cpu = |vcpu, frames| Cpu { vcpu, pid: Some(-1), frames, ..Cpu::default() };
    Row {
        kernel: Kernel {
            release: Some("6.1\u{1b}[31m'; DROP TABLE crashes; --".to_owned()),
            ..Kernel::default()
        },
        alt_titles: vec!["a".to_owned(), String::new()],
        weak: Some(false),
        held_seconds: Some(0.25),
        memory_bytes: Some(1 << 40),
        tasks: Some(Tasks { threads: Some(3), ..Tasks::default() }),
        cpus: vec![
            cpu(0, vec![frame(Some("panic")), frame(None), frame(Some("é"))]),
            cpu(1, Vec::new()),
            cpu(2, vec![frame(Some("idle"))]),
        ],
        modules: vec![Module {
            name: Some("crasher".to_owned()),
            size: Some(1),
            ..Module::default()
        }],
        ..row(id)
    }
}

#[test]
fn rows_come_back_as_they_were() {
    let rows =
        vec![full("20260101T000000Z-a"), row("20260101T000000Z-b"), full("20260101T000000Z-c")];
    let file = write(&rows).unwrap();
    assert_eq!(read(file.clone()).unwrap(), rows);
    let heads = heads(file.clone()).unwrap();
    assert_eq!(heads.len(), 3);
    for (head, row) in heads.iter().zip(&rows) {
        assert_eq!(*head, row.clone().head());
    }
    assert_eq!(ids(file).unwrap().len(), 3);
    assert_eq!(read(write(&[]).unwrap()).unwrap(), Vec::new());
}

#[test]
fn a_count_that_no_signed_number_has_is_the_largest() {
    let row = Row { memory_bytes: Some(u64::MAX), ..row("20260101T000000Z-a") };
    let file = write(&[row]).unwrap();
    assert_eq!(heads(file).unwrap()[0].memory_bytes, Some(i64::MAX as u64));
}

#[test]
fn what_is_cut_or_changed_is_an_error_or_other_rows() {
    let file = write(&[full("20260101T000000Z-a"), full("20260101T000000Z-b")]).unwrap();
    for length in (0..file.len()).step_by(7) {
        assert!(heads(file[..length].to_vec()).is_err(), "{length}");
    }
}

#[test]
fn a_part_whose_rows_are_none_is_damaged() {
    let other = Row { schema: "vmcorectl/crash/9".to_owned(), ..full("20260101T000000Z-aaaa0001") };
    for row in [Row { id: "../../\u{1b}[2J".to_owned(), ..other.clone() }, other] {
        let file = write(&[row]).unwrap();
        assert!(heads(file.clone()).is_err() && read(file).is_err());
    }
}

/// A reader may be misled by any byte, but ends, with rows or an error.
#[test]
fn a_file_with_any_byte_changed_is_read_within_bounds() {
    let file = write(&[full("20260101T000000Z-a"), row("20260101T000000Z-b")]).unwrap();
    let tail = file.len() - 8;
    let length = u32::from_le_bytes(*file[tail..].first_chunk().unwrap());
    let footer = tail - usize::try_from(length).unwrap();
    // Each byte of the footer, and some of the pages.
    for at in (0..footer).step_by(8).chain(footer..file.len()) {
        for change in [0x0f, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= change;
            let ended = std::panic::catch_unwind(|| {
                let _ = heads(changed.clone());
                let _ = ids(changed.clone());
                let _ = read(changed);
            });
            assert!(ended.is_ok(), "{at} {change:#x}");
        }
    }
}

#[test]
fn a_footer_that_promises_what_is_not_there_is_an_error() {
    let file = write(&[full("20260101T000000Z-a")]).unwrap();
    let with_footer = |footer: &[u8]| {
        let mut file = file.clone();
        file.extend(footer);
        file.extend(u32::try_from(footer.len()).unwrap().to_le_bytes());
        file.extend(b"PAR1");
        heads(file).unwrap_err()
    };
    // A version, and two billion elements of the schema.
    let huge = [0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
    let nested = [0x1c; 1 << 16];
    for footer in [&huge[..], &nested, &[], &[0x19; 100]] {
        with_footer(footer);
    }
    let mut too_long = file.clone();
    let length = too_long.len() - 8;
    too_long[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(heads(too_long).unwrap_err().contains("promises more"));
}
