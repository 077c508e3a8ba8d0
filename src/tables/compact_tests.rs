use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::tables::{EntryTexts, Table};

/// Objects in memory, whose writes fail from one on.
#[derive(Debug, Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    changes: AtomicUsize,
    fails_from: Option<usize>,
    /// What somebody else does during the next list.
    meanwhile: Mutex<Option<fn(&Self)>>,
}

impl Memory {
    fn change(&self) -> Result<(), TableError> {
        let change = self.changes.fetch_add(1, Ordering::SeqCst);
        if self.fails_from.is_some_and(|from| change >= from) {
            return Err(crate::remote::RemoteError::Ended.into());
        }
        Ok(())
    }

    fn add(&self, id: &str) {
        let json = row(id).to_json();
        self.objects.lock().unwrap().insert(layout::row("2026-01-01", id), json);
    }

    fn names(&self, what: &str) -> usize {
        self.objects.lock().unwrap().keys().filter(|name| name.contains(what)).count()
    }
}

impl Objects for Memory {
    fn list(&self, kind: &str) -> Result<Vec<(String, u64)>, TableError> {
        let below = format!("{}/{kind}/", layout::INDEX);
        let page = |first: bool| {
            let objects = self.objects.lock().unwrap();
            let of_page = objects.iter().filter(|(name, _)| name.starts_with(&below));
            let half = |name: &str| first == (name < &*format!("{below}day=2026-01-01/part-8"));
            let of_page = of_page.filter(|(name, _)| half(name));
            of_page.map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect::<Vec<_>>()
        };
        let mut names = page(true);
        // Between two pages of the list of parts. Nothing is locked while it works.
        let change = self.meanwhile.lock().unwrap().take_if(|_| kind == CRASHES);
        if let Some(change) = change {
            change(self);
        }
        names.extend(page(false));
        Ok(names)
    }

    fn get(&self, name: &str, _most: u64) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.objects.lock().unwrap().get(name).cloned())
    }

    fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<bool, TableError> {
        self.change()?;
        let mut objects = self.objects.lock().unwrap();
        let new = !objects.contains_key(name);
        objects.entry(name.to_owned()).or_insert(bytes);
        Ok(new)
    }

    fn delete(&self, name: &str) -> Result<(), TableError> {
        self.change()?;
        self.objects.lock().unwrap().remove(name);
        Ok(())
    }
}

fn row(id: &str) -> Row {
    let entry = &format!("web/{id}");
    let metadata = br#"{"started": "2026-01-01T00:00:00Z"}"#;
    let texts = EntryTexts { entry, metadata, report: None, core_bytes: None, pack_bytes: None };
    texts.row().unwrap()
}

fn id(number: usize) -> String {
    format!("20260101T000000Z-{number:08x}")
}

fn ids(objects: &Memory) -> Vec<String> {
    let table = Table::read(objects, "").unwrap();
    assert!(table.problems.is_empty());
    let mut ids: Vec<_> = table.rows.into_iter().map(|row| row.id).collect();
    ids.sort();
    ids
}

#[test]
fn rows_become_one_part_and_many_small_parts_become_one() {
    let objects = Memory::default();
    for round in 0..20 {
        (0..10).for_each(|number| objects.add(&id(round * 10 + number)));
        compact(&objects).unwrap();
        assert_eq!(objects.names("new/"), 0);
        assert_eq!(ids(&objects), (0..(round + 1) * 10).map(id).collect::<Vec<_>>());
    }
    assert!(objects.names("part-") < MANY, "{}", objects.names("part-"));
    let before = objects.changes.load(Ordering::SeqCst);
    assert_eq!(compact(&objects).unwrap().parts, 0);
    assert_eq!(objects.changes.load(Ordering::SeqCst), before, "nothing is left to do");
}

#[test]
fn a_row_that_comes_again_is_not_in_two_parts() {
    let objects = Memory::default();
    objects.add(&id(1));
    compact(&objects).unwrap();
    (1..3).for_each(|number| objects.add(&id(number)));
    compact(&objects).unwrap();
    let count = objects
        .objects
        .lock()
        .unwrap()
        .values()
        .fold(0, |sum, file| sum + part::ids(file.clone()).unwrap().len());
    assert_eq!((count, ids(&objects).len()), (2, 2));
}

/// Wherever a compaction ends, no row is lost, and the next one ends it.
#[test]
fn an_interrupted_compaction_loses_nothing() {
    for fails_from in 0..24 {
        let mut objects = Memory::default();
        for round in 0..MANY - 1 {
            objects.add(&id(round));
            compact(&objects).unwrap();
        }
        (100..110).for_each(|number| objects.add(&id(number)));
        let whole = ids(&objects);
        objects.changes = AtomicUsize::new(0);
        objects.fails_from = Some(fails_from);
        let _ = compact(&objects);
        assert_eq!(ids(&objects), whole, "{fails_from}");
        objects.fails_from = None;
        compact(&objects).unwrap();
        assert_eq!(ids(&objects), whole, "{fails_from}");
        assert_eq!(objects.names("new/"), 0);
    }
}

/// A list in pages shows the rows before, and the parts after, or none of both.
#[test]
fn a_table_that_is_compacted_while_it_is_listed_is_read_whole() {
    for parts in 0..MANY * 4 {
        let objects = Memory::default();
        for number in 0..parts {
            objects.add(&id(number));
            let mut parts = Compaction { objects: &objects, done: Compacted::default() };
            parts.publish("2026-01-01", vec![row(&id(number))]).unwrap();
        }
        objects.add(&id(1000));
        let whole = ids(&objects);
        *objects.meanwhile.lock().unwrap() = Some(|objects| drop(compact(objects).unwrap()));
        assert_eq!(ids(&objects), whole, "{parts}");
    }
}

#[test]
fn several_compactors_and_readers_at_once_lose_nothing() {
    let objects = Memory::default();
    thread::scope(|scope| {
        let writer = scope.spawn(|| (0..400).for_each(|number| objects.add(&id(number))));
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..30 {
                    compact(&objects).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let mut seen = 0;
            for _ in 0..30 {
                // A table that changed each time is read again by whoever wants it.
                if let Ok(table) = Table::read(&objects, "") {
                    assert!(table.rows.len() >= seen, "{} after {seen}", table.rows.len());
                    seen = table.rows.len();
                }
            }
        });
        writer.join().unwrap();
    });
    compact(&objects).unwrap();
    assert_eq!(ids(&objects), (0..400).map(id).collect::<Vec<_>>());
}

#[test]
fn what_is_damaged_is_left_and_reported() {
    let objects = Memory::default();
    objects.add(&id(1));
    for name in [layout::row("2026-01-01", &id(2)), layout::part("2026-01-01", "00")] {
        objects.objects.lock().unwrap().insert(name, b"{}".to_vec());
    }
    let compacted = compact(&objects).unwrap();
    assert_eq!((compacted.rows, compacted.problems.len()), (1, 1));
    let table = Table::read(&objects, "").unwrap();
    assert_eq!((table.rows.len(), table.problems.len()), (1, 2));
}
