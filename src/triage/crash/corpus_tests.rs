use serde::Deserialize;

use super::*;
use crate::triage::log::console;

#[derive(Deserialize)]
pub(super) struct Sample {
    pub(super) id: String,
    pub(super) log: String,
    pub(super) expected_title: Option<String>,
    #[serde(default)]
    pub(super) alt_titles: Vec<String>,
    pub(super) frame_derived: Option<String>,
    pub(super) corrupted: bool,
    panicked: bool,
}

pub(super) fn corpus() -> Vec<Sample> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/syzkaller.jsonl.zst");
    let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    let lines = String::from_utf8(text).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn crash(log: &str) -> Option<Crash> {
    of(&console::records(log.as_bytes()), Families::built_in())
}

/// At least this many of 1000.
#[track_caller]
pub(super) fn at_least(permille: usize, right: usize, of: usize) {
    assert!(right * 1000 >= of * permille, "{right} of {of}");
}

#[test]
fn titles_and_functions_are_those_that_syzkaller_gives() {
    let (mut clean, mut titles, mut frames, mut named) = (0, 0, 0, 0);
    let (mut panicked, mut panicked_titles, mut crashes, mut found) = (0, 0, 0, 0);
    for sample in corpus() {
        let crash = crash(&sample.log);
        let Some(expected) = &sample.expected_title else {
            assert!(crash.is_none(), "{}: {:?}", sample.id, crash.map(|crash| crash.title));
            continue;
        };
        crashes += 1;
        found += usize::from(crash.is_some());
        let Some(crash) = crash.filter(|_| !sample.corrupted) else { continue };
        clean += 1;
        titles += usize::from(crash.title == *expected);
        if sample.panicked {
            let mut ours = crash.alt_titles.iter().chain([&crash.title]);
            panicked += 1;
            let same = ours.any(|title| title == expected || sample.alt_titles.contains(title));
            panicked_titles += usize::from(same);
        }
        if sample.frame_derived.is_some() {
            named += 1;
            frames += usize::from(crash.frame == sample.frame_derived);
        }
    }
    at_least(990, found, crashes);
    at_least(970, titles, clean);
    at_least(970, frames, named);
    at_least(960, panicked_titles, panicked);
}

/// The same crash of another boot, or another build.
fn variants(sample: &Sample) -> Vec<(&'static str, String)> {
    let log = &sample.log;
    let level: String = log
        .lines()
        .map(
            |line| if line.starts_with('[') { format!("<4>{line}\n") } else { format!("{line}\n") },
        )
        .collect();
    let boot =
        "[    0.000000] Linux version 6.12.0 (gcc) #1 SMP\n[    0.000001] Command line: ro\n";
    let mut variants = vec![
        ("other offsets", log.replace("+0x", "+0x1")),
        ("other suffixes", log.replace(".isra.", ".isra.1").replace(".cold+", ".cold.7+")),
        ("levels", level),
        ("a boot before", format!("{}{log}", boot.repeat(50))),
        ("taint", log.replace("Not tainted ", "Tainted: G        W  O      ")),
        ("a reboot after", format!("{}\nRebooting in 30 seconds..\n", log.trim_end())),
    ];
    if sample.panicked {
        let warning = "[    1.000000] WARNING: CPU: 0 PID: 7 at drivers/a.c:1 old_one+0x1/0x2 [a]\n[    1.000001] RIP: 0010:old_one+0x1/0x2 [a]\n[    1.000002] ---[ end trace 0 ]---\n";
        variants.push(("an old warning", format!("{warning}{log}")));
    }
    variants
}

#[test]
fn the_signature_is_the_same_for_another_boot_and_another_build() {
    for sample in corpus() {
        if sample.corrupted || sample.expected_title.is_none() {
            continue;
        }
        let signature = |log: &str| crash(log).map(|crash| (crash.signature.id, crash.title));
        let original = signature(&sample.log);
        for (what, log) in variants(&sample) {
            assert_eq!(signature(&log), original, "{}: {what}", sample.id);
        }
    }
}
