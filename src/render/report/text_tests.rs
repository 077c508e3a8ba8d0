//! The text of a report.

use super::super::sample::report;
use super::*;

fn printed(report: &Report, colours: bool) -> String {
    let mut out = Vec::new();
    text(report, Paint { colours }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_answer_is_in_the_first_lines() {
    let text = printed(&report(""), false);
    let first: Vec<_> = text.lines().take(24).collect();
    assert_eq!(first[0], "BUG: bad thing in foo");
    for part in ["Fatal exception", "foo [foo_mod]", "CPU 1 of 2, sh (pid 1)", "6.1.0", "v1-abc"] {
        assert!(first.iter().any(|line| line.contains(part)), "{part}: {first:#?}");
    }
    assert!(first.iter().any(|line| line.contains("panic [ext4]") && line.ends_with("orc")));
}

#[test]
fn no_terminal_obeys_what_a_guest_says() {
    for hostile in ["\u{1b}]0;x\u{7}", "\u{9b}2J", "\r", "\u{202e}"] {
        let text = printed(&report(hostile), false);
        for c in ["\u{1b}", "\u{7}", "\u{9b}", "\r", "\u{202e}"] {
            assert!(!text.contains(c), "{c:?} of {hostile:?}");
        }
    }
}

#[test]
fn without_colours_there_are_none_and_with_them_the_same_words() {
    let (plain, coloured) = (printed(&report(""), false), printed(&report(""), true));
    assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[1;31m"));
    let mut words = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, behind)) = rest.split_once('\u{1b}') {
        words += before;
        rest = behind.split_once('m').unwrap().1;
    }
    assert_eq!(words + rest, plain);
}

#[test]
fn a_report_of_nothing_is_printed_too() {
    let text = printed(&Report { title: "nothing".to_owned(), ..Report::default() }, false);
    assert!(text.starts_with("nothing\n") && text.contains("from no evidence"));
}
