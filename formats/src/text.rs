//! Text of a guest, bounded.
//!
//! A guest can make any text of its own as long as it likes, and what is derived from one
//! (a demangled name, a title) far longer. Text gets its bound where it is decoded; what was
//! left out is marked by an ellipsis.
//!
//! ```
//! use vmcore_formats::text;
//!
//! assert_eq!(text::bounded("6.1.0-31-amd64", 64), "6.1.0-31-amd64");
//! assert_eq!(text::bounded("6.1.0-31-amd64", 8), "6.1.0…");
//! ```

use std::fmt;

/// The longest name of a function or a type, in bytes: the kernel's `KSYM_NAME_LEN`, which was
/// 128 before Linux commit b8a94bfb3395 "kallsyms: increase maximum kernel symbol length to
/// 512" (in v6.1).
pub const MAX_NAME: usize = 512;
/// The longest title of a crash, in bytes: a message of a kernel and the names of two functions.
pub const MAX_TITLE: usize = 1536;
/// The longest release or version of a kernel, in bytes. `__NEW_UTS_LEN` is 64; a build adds
/// its own words in a log.
pub const MAX_RELEASE: usize = 256;
/// The longest text of any other kind, in bytes: a path, a command line, a record of the log.
pub const MAX_TEXT: usize = 4096;

/// The end of a text that was cut.
const ELLIPSIS: &str = "…";

/// The longest beginning of a text that has at most `max` bytes, in whole characters.
pub fn beginning(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

/// A text of at most `max` bytes. One that is longer ends with an ellipsis.
pub fn bounded(text: &str, max: usize) -> String {
    if text.len() <= max { text.to_owned() } else { cut(text, max) }
}

/// The beginning of a text and an ellipsis, `max` bytes at most.
pub fn cut(text: &str, max: usize) -> String {
    [beginning(text, max.saturating_sub(ELLIPSIS.len())), ELLIPSIS].concat()
}

/// [`bounded`] for bytes. Those that are not UTF-8 are replaced.
pub fn lossy(bytes: &[u8], max: usize) -> String {
    // Replacing makes a text longer, never shorter.
    let beginning = bytes.get(..max.saturating_add(1)).unwrap_or(bytes);
    bounded(&String::from_utf8_lossy(beginning), max)
}

/// A text that is written in pieces, up to a bound: from there on, every write fails, and so
/// ends what writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundedText {
    text: String,
    max: usize,
    is_cut: bool,
}

impl BoundedText {
    /// An empty text of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { text: String::new(), max, is_cut: false }
    }

    /// What was written.
    pub fn finish(self) -> String {
        if self.is_cut { cut(&self.text, self.max) } else { self.text }
    }
}

impl fmt::Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = self.max.saturating_sub(self.text.len());
        self.text.push_str(beginning(text, left));
        self.is_cut |= text.len() > left;
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_the_cut_can_be_seen() {
        assert_eq!(bounded("panic", 5), "panic");
        assert_eq!(bounded("panicked", 5), "pa…");
        assert_eq!(bounded("ääää", 7), "ää…");
        assert_eq!(bounded("äääää", 8), "ää…");
        for max in 0..20 {
            assert!(bounded("ä€\u{1f980}ä€\u{1f980}", max).len() <= max.max(ELLIPSIS.len()));
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_do_not_pass_the_bound() {
        assert_eq!(lossy(b"swapper/0", 16), "swapper/0");
        assert_eq!(lossy(b"a\xff", 16), "a\u{fffd}");
        let text = lossy(&[0xff; 100], 16);
        assert!(text.len() <= 16 && text.ends_with('…'), "{text}");
    }

    #[test]
    fn a_writer_of_a_bounded_text_is_stopped() {
        let mut pieces = 0;
        let mut text = BoundedText::new(10);
        while text.write_str("four").is_ok() {
            pieces += 1;
        }
        assert_eq!((pieces, text.finish()), (2, "fourfou…".to_owned()));
        let mut text = BoundedText::new(8);
        assert!(text.write_str("fourfour").is_ok());
        assert_eq!(text.finish(), "fourfour");
    }
}
