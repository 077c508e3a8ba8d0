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
