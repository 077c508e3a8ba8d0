//! Two texts, line by line: `-` is expected, `+` was found.

use std::fmt::Write;

/// How many equal lines are shown before and after a difference.
const CONTEXT: usize = 3;

/// How many lines are looked ahead for the place where the texts meet again.
const AHEAD: usize = 400;

/// What differs, with its surroundings. Empty for equal texts.
pub(crate) fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) =
        (expected.split_inclusive('\n').collect(), found.split_inclusive('\n').collect());
    let (mut left, mut right) = (0, 0);
    let mut text = String::new();
    while left < expected.len() || right < found.len() {
        if expected.get(left) == found.get(right) {
            (left, right) = (left + 1, right + 1);
            continue;
        }
        let (gone, come) = until_they_meet(&expected[left..], &found[right..]);
        writeln!(text, "@ line {}", left + 1).unwrap();
        lines(&mut text, ' ', &expected[left.saturating_sub(CONTEXT)..left]);
        lines(&mut text, '-', &expected[left..left + gone]);
        lines(&mut text, '+', &found[right..right + come]);
        (left, right) = (left + gone, right + come);
        lines(&mut text, ' ', &expected[left..expected.len().min(left + CONTEXT)]);
    }
    text
}

/// How many lines of each have to be left out until the rest begins alike: as few as possible.
fn until_they_meet(expected: &[&str], found: &[&str]) -> (usize, usize) {
    for both in 1..AHEAD {
        for gone in 0..=both {
            let come = both - gone;
            if gone < expected.len() && come < found.len() && expected[gone] == found[come] {
                return (gone, come);
            }
        }
    }
    (expected.len(), found.len())
}

fn lines(text: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        // What does not show by itself is quoted: another control character, or no newline.
        let shown = match line.strip_suffix('\n') {
            Some(line) if !line.contains(char::is_control) => line.to_owned(),
            _ => format!("{line:?}"),
        };
        writeln!(text, "{mark} {shown}").unwrap();
    }
}

#[test]
fn a_changed_a_missing_and_a_new_line_are_distinguished() {
    let found = difference("a\nb\nc\nd\ne\nf\n", "a\nB\nc\nd\nf\ng\n");
    assert_eq!(
        found,
        "@ line 2\n  a\n- b\n+ B\n  c\n  d\n  e\n\
         @ line 5\n  b\n  c\n  d\n- e\n  f\n\
         @ line 7\n  d\n  e\n  f\n+ g\n"
    );
}

#[test]
fn equal_texts_have_no_difference_and_a_last_newline_is_one() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), "");
    assert_eq!(difference("a\n", "a"), "@ line 1\n- a\n+ \"a\"\n");
}
