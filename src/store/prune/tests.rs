use std::collections::BTreeSet;
use std::fs::{self, File};

use proptest::prelude::*;

use super::*;
use crate::store::CORE_FILE;
use crate::store::pin;

/// An entry: guest, minute of its time, signature, length of its core; 0 for none.
type Made = (&'static str, u8, Option<&'static str>, u64);

fn store(entries: &[Made]) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    for (guest, minute, signature, length) in entries {
        let folder = store.path().join(guest).join(id(*minute));
        fs::create_dir_all(&folder).unwrap();
        if *length > 0 {
            File::create(folder.join(CORE_FILE)).unwrap().set_len(*length).unwrap();
        }
        if let Some(signature) = signature {
            let report = format!("{{\"signature\": \"{signature}\", \"weak\": false}}");
            fs::write(folder.join("report.json"), report).unwrap();
        }
    }
    store
}

fn id(minute: u8) -> String {
    format!("20260101T{:02}{:02}00Z-{minute:08x}", minute / 60, minute % 60)
}

/// The minutes of the entries that would go, in their order.
fn chosen(store: &tempfile::TempDir, limits: Limits) -> Vec<u8> {
    let pruning = Pruning::of(store.path(), limits).unwrap();
    let minute = |chosen: &Chosen<'_>| u8::from_str_radix(&chosen.entry.id[17..], 16).unwrap();
    pruning.plan().chosen.iter().map(minute).collect()
}

fn left(store: &tempfile::TempDir) -> BTreeSet<String> {
    list(store.path()).unwrap().0.into_iter().map(|entry| entry.id).collect()
}

fn size(total_bytes: u64) -> Limits {
    Limits { total_bytes: Some(total_bytes), ..Limits::default() }
}

#[test]
fn the_most_frequent_signature_is_thinned_out_first_and_its_oldest_first() {
    let store = store(&[
        ("web", 1, Some("rare"), 1000),
        ("web", 2, Some("rare"), 1000),
        ("web", 3, Some("rare"), 1000),
        ("web", 4, Some("loop"), 1000),
        ("web", 5, Some("loop"), 1000),
        ("web", 6, Some("loop"), 1000),
        ("web", 7, Some("loop"), 1000),
        ("web", 8, Some("loop"), 1000),
    ]);
    // Until both have three left, then by age. The first and the newest of each stay.
    assert_eq!(chosen(&store, size(0)), [5, 6, 2, 7]);
    let mut pruning = Pruning::of(store.path(), size(0)).unwrap();
    let unmet = pruning.run(|_, by, result| assert!(result.is_ok() && by == Limit::Size));
    assert_eq!((unmet[0].limit, unmet[0].wanted), (Limit::Size, 0));
    assert!(unmet[0].left > 4000, "{unmet:?}");
    assert_eq!(left(&store), [1, 3, 4, 8].map(id).into());
}

#[test]
fn the_guest_that_has_the_most_of_a_crash_loses_first() {
    let store = store(&[
        ("alone", 1, Some("a"), 10),
        ("db", 2, Some("a"), 10),
        ("web", 3, Some("a"), 10),
        ("web", 4, Some("a"), 10),
        ("web", 5, Some("a"), 10),
        ("mail", 6, Some("a"), 10),
    ]);
    assert_eq!(chosen(&store, size(0)), [3, 4, 2, 5]);
}

#[test]
fn the_first_and_the_newest_with_a_core_stay_and_cores_go_before_what_has_none() {
    let store = store(&[
        ("web", 1, Some("a"), 0),
        ("web", 2, Some("a"), 10),
        ("web", 3, Some("a"), 10),
        ("web", 4, Some("a"), 10),
        ("web", 5, Some("a"), 0),
        ("web", 6, Some("a"), 0),
    ]);
    assert_eq!(chosen(&store, size(0)), [3, 5]);
}

#[test]
fn entries_go_by_age_by_their_number_and_for_space() {
    let store = store(&[
        ("web", 1, Some("a"), 10),
        ("web", 2, Some("a"), 10),
        ("web", 3, Some("a"), 10),
        ("db", 4, None, 10),
        ("db", 5, None, 10),
        ("db", 6, None, 10),
        ("web", 9, Some("a"), 10),
    ]);
    let oldest = Some("2026-01-01T00:03:00Z".parse().unwrap());
    assert_eq!(chosen(&store, Limits { oldest, ..Limits::default() }), [2]);
    let all = Limits { per_guest: Some(0), ..Limits::default() };
    assert_eq!(chosen(&store, all), [2, 3, 5]);
    assert_eq!(chosen(&store, Limits { per_guest: Some(3), ..all }), [2]);
    assert_eq!(
        chosen(&store, Limits { free_bytes: Some(u64::MAX), ..Limits::default() }),
        [2, 3, 5]
    );
    assert_eq!(chosen(&store, Limits { free_bytes: Some(0), ..Limits::default() }), [0; 0]);
    assert_eq!(chosen(&store, Limits::default()), [0; 0]);
    assert_eq!(chosen(&store, Limits { oldest, ..all }), [2, 3, 5]);
}

#[test]
fn what_is_pinned_written_or_not_published_stays() {
    let entries: Vec<Made> = (1..7).map(|minute| ("web", minute, Some("a"), 10)).collect();
    let store = store(&entries);
    let folder = |minute| store.path().join("web").join(id(minute));
    pin::pin(&folder(2)).unwrap();
    let core = File::options().write(true).open(folder(3).join(CORE_FILE)).unwrap();
    assert!(matches!(lock::for_writing(&core), lock::Attempt::Locked));
    fs::rename(folder(4), store.path().join("web").join(id(4) + super::super::INCOMPLETE)).unwrap();
    assert_eq!(chosen(&store, size(0)), [5]);
    // Pinned after it was listed: another one goes instead, if there is one.
    let mut pruning = Pruning::of(store.path(), size(0)).unwrap();
    pin::pin(&folder(5)).unwrap();
    drop(core);
    let mut went = Vec::new();
    pruning.run(|entry, _, result| went.push((entry.id.clone(), result.is_ok())));
    assert_eq!(went, [(id(3), true)]);
    assert_eq!(left(&store), [1, 2, 4, 5, 6].map(id).into());
}

#[test]
fn an_entry_that_another_process_removed_is_no_failure() {
    let entries: Vec<Made> = (1..5).map(|minute| ("web", minute, Some("a"), 10)).collect();
    let store = store(&entries);
    let mut pruning = Pruning::of(store.path(), size(0)).unwrap();
    fs::remove_dir_all(store.path().join("web").join(id(2))).unwrap();
    let mut went = Vec::new();
    pruning.run(|entry, _, result| went.push((entry.id.clone(), result.is_ok())));
    assert_eq!(went, [(id(3), true)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_goes_each_signature_keeps_its_first_and_its_newest(
        entries in prop::collection::vec((0..3_u8, 0..4_u8, 0..3_u64), 1..24),
        total in 0..40_u64,
        per_guest in prop::option::of(0..4_usize),
    ) {
        const GUESTS: [&str; 3] = ["web", "db", "mail"];
        const SIGNATURES: [Option<&str>; 4] = [Some("a"), Some("b"), Some("c"), None];
        let made: Vec<Made> = entries.iter().zip(0..).map(|((guest, signature, core), minute)| {
            let (guest, signature) = (usize::from(*guest), usize::from(*signature));
            (GUESTS[guest], minute, SIGNATURES[signature], *core)
        }).collect();
        let store = store(&made);
        let limits = Limits { total_bytes: Some(total), per_guest, ..Limits::default() };
        let before = Pruning::of(store.path(), limits).unwrap();
        let planned: BTreeSet<_> =
            before.plan().chosen.iter().map(|chosen| chosen.entry.id.clone()).collect();
        let mut went = BTreeSet::new();
        let unmet = Pruning::of(store.path(), limits).unwrap().run(|entry, _, result| {
            assert!(result.is_ok());
            went.insert(entry.id.clone());
        });
        // What was announced went, and it was enough, or all that may go.
        prop_assert_eq!(&planned, &went);
        let after = Pruning::of(store.path(), limits).unwrap();
        prop_assert!(after.plan().chosen.is_empty());
        prop_assert_eq!(unmet.is_empty(), after.total_bytes() <= total);
        for signature in SIGNATURES {
            let of_it: Vec<_> = made.iter().filter(|made| made.2 == signature).collect();
            let with_core: Vec<_> = of_it.iter().copied().filter(|made| made.3 > 0).collect();
            for kind in [of_it, with_core] {
                for end in [kind.first(), kind.last()].into_iter().flatten() {
                    prop_assert!(left(&store).contains(&id(end.1)));
                }
            }
        }
    }
}
