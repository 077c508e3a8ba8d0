//! Tables of crashes, as object storage may have them: anybody with a key to it writes there.

use std::sync::Mutex;

use vmcorectl::tables::layout::{self, ANNOTATIONS, CRASHES, NEW};
use vmcorectl::tables::{Objects, Row, Table, TableError, compact};

use crate::limits::{FILE, within};

const DAY: &str = "2026-11-27";
const ID: &str = "20261127T100000Z-00000001";
/// So many small parts are put together.
const PARTS: usize = 8;

/// The input as a row, an annotation and some parts: all of them are read, and compacted.
pub(crate) fn table(input: &[u8]) {
    within(FILE, || {
        let objects = Same { bytes: input, written: Mutex::default() };
        let table = Table::read(&objects, "a table").expect("damage is listed");
        for row in &table.rows {
            // What is printed of a time that no clock has is another text.
            assert!(Row::parse(&row.to_json()).is_some(), "a row that is none when read again");
        }
        let _ = compact(&objects).expect("damage is listed");
        for (name, bytes) in objects.written.into_inner().expect("no panic") {
            let one = Same { bytes: &bytes, written: Mutex::default() };
            assert!(layout::parse(&name).is_some(), "a name that is none when read again");
            let read = Table::read(&one, "a table").expect("damage is listed");
            assert!(!read.rows.is_empty(), "a part that cannot be read again");
        }
    });
}

/// Objects that all have the same bytes.
#[derive(Debug)]
struct Same<'a> {
    bytes: &'a [u8],
    written: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Objects for Same<'_> {
    fn list(&self, kind: &str) -> Result<Vec<(String, u64)>, TableError> {
        let length = self.bytes.len() as u64;
        let names = match kind {
            NEW => vec![layout::row(DAY, ID)],
            CRASHES => (0..PARTS).map(|part| layout::part(DAY, &format!("{part:032x}"))).collect(),
            ANNOTATIONS => vec![layout::annotation(DAY, ID, "00")],
            _ => Vec::new(),
        };
        Ok(names.into_iter().map(|name| (name, length)).collect())
    }

    fn get(&self, _name: &str, _most: u64) -> Result<Option<Vec<u8>>, TableError> {
        Ok(Some(self.bytes.to_vec()))
    }

    fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<bool, TableError> {
        self.written.lock().expect("no panic").push((name.to_owned(), bytes));
        Ok(true)
    }

    fn delete(&self, _name: &str) -> Result<(), TableError> {
        Ok(())
    }
}
