//! Whether the rules of the families hold for crashes that they were not written for.
//!
//! The corpus is parted into folds, all logs of one bug in the same. For each fold, the rules that
//! no log outside of it uses are left out, and its logs are named without them.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::corpus_tests::{Sample, at_least, corpus};
use super::*;
use crate::triage::log::console;
use crate::wildcard::Wildcard;

const TABLE: &str = include_str!("families.txt");
const FOLDS: u64 = 5;

/// A rule: the lines of one family between two comments, with their numbers.
#[derive(Default)]
struct Rule {
    family: String,
    lines: HashSet<usize>,
    patterns: Vec<Wildcard>,
}

impl Rule {
    fn is_used_by(&self, crash: &Crash) -> bool {
        let has = |name: &str| self.patterns.iter().any(|pattern| pattern.matches(name));
        if self.family == "@anchor" {
            return crash.evidence.frames.iter().any(|frame| has(&frame.function));
        }
        let may = |family: &str| family == self.family || !self.family.starts_with('@');
        crash.evidence.skipped.iter().any(|frame| may(&frame.family) && has(&frame.function))
    }
}

fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut family = "";
    for (number, line) in TABLE.lines().enumerate() {
        if let Some((name, _)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            family = name;
        }
        if line.starts_with(['#', '[']) {
            rules.push(Rule { family: family.to_owned(), ..Rule::default() });
        } else if let Some(rule) = rules.last_mut().filter(|_| !family.is_empty()) {
            rule.lines.insert(number);
            rule.patterns.extend(line.split_whitespace().map(Wildcard::new));
        }
    }
    rules
}

fn crash(sample: &Sample, families: &Families) -> Option<Crash> {
    of(&console::records(sample.log.as_bytes()), families)
}

fn fold(sample: &Sample) -> u64 {
    let mut hasher = DefaultHasher::new();
    sample.expected_title.as_ref().unwrap_or(&sample.id).hash(&mut hasher);
    hasher.finish() % FOLDS
}

/// The table without the rules that only logs of a fold use.
fn without(rules: &[Rule], used: &[(u64, HashSet<usize>)], left_out: u64) -> Families {
    let only_there = |rule: usize| {
        let mut users = used.iter().filter(|(_, rules)| rules.contains(&rule)).peekable();
        users.peek().is_some() && users.all(|(fold, _)| *fold == left_out)
    };
    let dropped: HashSet<usize> = (0..rules.len())
        .filter(|rule| only_there(*rule))
        .flat_map(|rule| &rules[rule].lines)
        .copied()
        .collect();
    let kept = TABLE.lines().enumerate().filter(|(number, _)| !dropped.contains(number));
    Families::parse(&kept.map(|(_, line)| format!("{line}\n")).collect::<String>()).unwrap()
}

#[test]
fn rules_hold_for_logs_that_they_were_not_written_for() {
    let (samples, rules) = (corpus(), rules());
    let used: Vec<(u64, HashSet<usize>)> = samples
        .iter()
        .map(|sample| {
            let crash = crash(sample, Families::built_in());
            let used =
                |rule: &usize| crash.as_ref().is_some_and(|crash| rules[*rule].is_used_by(crash));
            (fold(sample), (0..rules.len()).filter(used).collect())
        })
        .collect();
    let tables: Vec<Families> =
        (0..FOLDS).map(|left_out| without(&rules, &used, left_out)).collect();
    let (mut clean, mut titles, mut named, mut frames) = (0, 0, 0, 0);
    let mut buckets: HashMap<&str, Vec<String>> = HashMap::new();
    for sample in samples.iter().filter(|sample| !sample.corrupted) {
        let Some(expected) = sample.expected_title.as_deref() else { continue };
        let crash = crash(sample, &tables[usize::try_from(fold(sample)).unwrap()]).unwrap();
        let mut ours = crash.alt_titles.iter().chain([&crash.title]);
        clean += 1;
        titles +=
            usize::from(ours.any(|title| title == expected || sample.alt_titles.contains(title)));
        named += usize::from(sample.frame_derived.is_some());
        frames +=
            usize::from(sample.frame_derived.is_some() && crash.frame == sample.frame_derived);
        buckets.entry(expected).or_default().push(crash.signature.id);
    }
    let pairs = |of: &[String]| of.len() * of.len().saturating_sub(1) / 2;
    let all = buckets.values().map(|of| pairs(of)).sum();
    let same = buckets.values().flat_map(|of| {
        let ids: HashSet<&String> = of.iter().collect();
        ids.into_iter().map(|id| of.iter().filter(|other| *other == id).count())
    });
    at_least(920, titles, clean);
    at_least(910, frames, named);
    at_least(850, same.map(|count| count * (count - 1) / 2).sum(), all);
}
