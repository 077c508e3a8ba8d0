//! The map in `src/lib.rs`: which room of the program may use which.
//!
//! A room is a module straight below the crate; `formats` is the crate of that name. A line
//! of the map names a room, an arrow, and the rooms that its code may name. What is
//! compiled for tests alone may name all. Inside of a room, modules beside each other use
//! each other in one direction.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod circles;
mod scan;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use tree::{ModulePath, Tree};

/// Who may use what comes from outside, where not everybody may.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("landlock", &["sandbox"]),
    ("seccompiler", &["sandbox"]),
    ("indicatif", &["cli"]),
    ("std::env", &["cli", "debugger", "mount"]),
    ("fuser", &["mount"]),
    ("bytes", &["tables"]),
    ("parquet", &["tables"]),
    ("age", &["encryption"]),
    ("age_core", &["encryption"]),
    ("ring", &["encryption", "remote"]),
    ("async_trait", &["remote"]),
    ("futures_util", &["remote"]),
    ("object_store", &["remote"]),
    ("rustls", &["remote"]),
    ("tokio", &["remote"]),
    ("url", &["remote"]),
    ("nix", &["held", "store"]),
    ("signal_hook", &["debugger", "interrupt"]),
];

/// Arrows against the map that are still there.
const AGAINST_THE_MAP: &[(&str, &str)] = &[];

/// Circles that are still there.
const CIRCLES: &[&str] = &[];

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn program() -> Tree {
    Tree::read(&project("src/lib.rs"))
}

/// The lines of a text that have one arrow, without what a comment begins with.
fn map_in(path: &str) -> Vec<String> {
    let text = fs::read_to_string(project(path)).expect("a text");
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    lines.filter(|line| line.matches(" ─► ").count() == 1).map(str::to_owned).collect()
}

/// What each room may use.
fn map() -> BTreeMap<String, BTreeSet<String>> {
    let lines = map_in("src/lib.rs");
    let rooms = lines.iter().map(|line| {
        let (room, others) = line.split_once(" ─► ").expect("an arrow");
        // What it is stands behind.
        let others = others.split("  ").next().unwrap_or_default();
        let others = others.split(',').map(|other| other.trim().to_owned()).collect();
        (room.trim().to_owned(), others)
    });
    rooms.collect()
}

/// Which room uses which, and a module that does.
fn arrows(tree: &Tree) -> BTreeMap<(String, String), String> {
    let mut arrows = BTreeMap::new();
    for (from, to) in tree.uses() {
        if let (Some(one), Some(other)) = (from.first(), to.first())
            && one != other
        {
            arrows.insert(
                (one.clone(), other.clone()),
                format!("{} uses {}", name(&from), name(&to)),
            );
        }
    }
    for from in tree.outside("vmcore_formats") {
        arrows.insert((from[0].clone(), "formats".to_owned()), name(from));
    }
    arrows
}

fn name(path: &ModulePath) -> String {
    path.join("::")
}

#[test]
fn rooms_use_what_the_map_says() {
    let map = map();
    let wrong: Vec<_> = arrows(&program())
        .into_iter()
        .filter(|((one, other), _)| {
            let may = |room: &str, to: &str| map.get(room).is_some_and(|rooms| rooms.contains(to));
            let may = may(one, "all") || may("all", other) || may(one, other);
            !may && !AGAINST_THE_MAP.contains(&(one, other))
        })
        .map(|((one, other), example)| format!("{one} ─► {other}: {example}"))
        .collect();
    assert!(wrong.is_empty(), "the map in src/lib.rs has no such arrows: {wrong:#?}");
}

#[test]
fn the_map_says_no_more_than_there_is() {
    let (map, tree) = (map(), program());
    let arrows = arrows(&tree);
    for room in tree.rooms() {
        let named = map.iter().any(|(one, others)| one == room || others.contains(room));
        assert!(named, "{room} is not in the map");
    }
    let unused: Vec<_> = map
        .iter()
        .flat_map(|(one, others)| others.iter().map(move |other| (one.clone(), other.clone())))
        .filter(|(one, other)| one != "all" && other != "all")
        .filter(|arrow| !arrows.contains_key(arrow))
        .collect();
    assert!(unused.is_empty(), "nothing uses these arrows: {unused:?}");
    let mended: Vec<_> = AGAINST_THE_MAP
        .iter()
        .filter(|(one, other)| !arrows.contains_key(&((*one).to_owned(), (*other).to_owned())))
        .collect();
    assert!(mended.is_empty(), "these are gone, take them out of the list: {mended:?}");
}

#[test]
fn the_architecture_shows_the_same_map() {
    assert_eq!(map_in("ARCHITECTURE.md"), map_in("src/lib.rs"));
}

#[test]
fn nothing_uses_each_other_in_a_circle() {
    let mut found = BTreeMap::new();
    for (root, library) in [("src/lib.rs", ""), ("formats/src/lib.rs", "formats")] {
        for (mut parent, uses) in circles::siblings(&Tree::read(&project(root)).uses()) {
            parent.insert(0, library.to_owned());
            let parent = name(&parent).trim_start_matches("::").to_owned();
            for circle in circles::circles(&uses) {
                let examples = circles::examples(&uses, &circle);
                found.insert(format!("{parent}: {}", circle.join(", ")), examples);
            }
        }
    }
    let ended: Vec<_> = CIRCLES.iter().filter(|circle| !found.contains_key(**circle)).collect();
    found.retain(|circle, _| !CIRCLES.contains(&circle.as_str()));
    assert!(found.is_empty(), "new circles: {found:#?}");
    assert!(ended.is_empty(), "these are gone, take them out of the list: {ended:#?}");
}

#[test]
fn what_comes_from_outside_has_its_room() {
    let tree = program();
    for (outside, rooms) in OUTSIDE {
        let strangers: Vec<String> = tree
            .outside(outside)
            .filter(|path| !path.first().is_some_and(|room| rooms.contains(&room.as_str())))
            .map(name)
            .collect();
        assert!(strangers.is_empty(), "{outside} is for {rooms:?}, not for {strangers:?}");
    }
}
