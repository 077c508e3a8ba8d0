//! Text of others, made safe to print: the one mechanism for terminals, pages and JSON.
//!
//! A guest, QEMU, a file's name or a store's metadata can have any characters. Terminals obey
//! control characters; those of Unicode that change the direction of writing, and its own line
//! ends, make a line show what it does not say.
//!
//! Needs: a text. Gives: one line of it, of bounded length; or the same value as JSON ([`json`]).

pub mod json;

/// The most characters of a line.
const MAX_LINE: usize = 4096;

/// A text as a part of one line: characters that are not printed are replaced, and what is longer
/// than any line should be is cut.
pub fn shown(text: &str) -> String {
    shown_up_to(text, MAX_LINE)
}

/// The same, of at most `max` characters.
pub fn shown_up_to(text: &str, max: usize) -> String {
    // Nearly all texts: they are copied as they are.
    if text.len() <= max && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len().min(max));
    let mut rest = text.chars();
    shown.extend(rest.by_ref().take(max).map(|c| if is_printable(c) { c } else { '\u{fffd}' }));
    if rest.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// Whether a character is printed as itself and changes nothing else: no control character (C0,
/// DEL, C1), no line end, none that changes the direction of writing.
pub fn is_printable(c: char) -> bool {
    !matches!(
        c,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_replaced() {
        assert_eq!(shown("büro\x1b[31m\n\u{202e}x"), "büro\u{fffd}[31m\u{fffd}\u{fffd}x");
        // CSI and OSC as C1, and each mark of direction and line end.
        let obeyed =
            "\u{9b}\u{9d}\u{7f}\r\t\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{2069}";
        assert!(shown(obeyed).chars().all(|c| c == '\u{fffd}'));
        assert_eq!(shown("…€ 日本 עברית"), "…€ 日本 עברית");
    }

    #[test]
    fn a_line_that_is_cut_ends_with_an_ellipsis() {
        assert_eq!(shown_up_to("panic", 5), "panic");
        assert_eq!(shown_up_to("päni\t", 5), "päni\u{fffd}");
        assert_eq!(shown_up_to("panicked", 5), "pani…");
        assert_eq!(shown(&"ä".repeat(100_000)).chars().count(), MAX_LINE);
    }
}
