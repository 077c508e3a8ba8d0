//! What terminals, log daemons and web pages put into a text: colours, escaped characters, HTML.
//!
//! ```text
//! ESC [31m   ^[[31m   #033[31m   \x1b[31m   [31m     a colour, and how others write or lose ESC
//! \n   \r\n   #012   ^M   <br>   </p>                the end of a line
//! &lt;  &#91;  <  NBSP                          a character
//! <span class="x">                                   nothing
//! ```
//!
//! Needs: a text. Gives: the text without them. Where they end a line that is not the file's own,
//! there is a [`SPLIT`], so that the lines of the file can still be counted.

use std::borrow::Cow;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::{memchr, memchr3, memmem};

/// Ends a record within a line of the file.
pub(super) const SPLIT: u8 = 0x1e;

/// The longest tag, and the longest escape sequence.
const MAX_LENGTH: usize = 256;

/// What a mark means.
#[derive(Clone, Copy)]
enum Mark {
    /// A terminal's escape character, perhaps written out.
    Escape,
    /// A colour that lost its escape character.
    Colour,
    /// The end of a line.
    End,
    /// This character.
    Character(&'static str),
    /// A character by its number: `&#91;`.
    Numbered,
    /// An HTML element.
    Tag,
}

const MARKS: [(&str, Mark); 62] = [
    ("\x1b", Mark::Escape),
    ("^[[", Mark::Escape),
    ("#033[", Mark::Escape),
    ("\\x1b[", Mark::Escape),
    ("\\x1B[", Mark::Escape),
    ("\\u001b[", Mark::Escape),
    ("\\u001B[", Mark::Escape),
    ("\\033[", Mark::Escape),
    ("\\e[", Mark::Escape),
    ("[0m", Mark::Colour),
    ("[0;", Mark::Colour),
    ("[00;", Mark::Colour),
    ("[1m", Mark::Colour),
    ("[1;", Mark::Colour),
    ("[01;", Mark::Colour),
    ("[30m", Mark::Colour),
    ("[31m", Mark::Colour),
    ("[32m", Mark::Colour),
    ("[33m", Mark::Colour),
    ("[34m", Mark::Colour),
    ("[35m", Mark::Colour),
    ("[36m", Mark::Colour),
    ("[37m", Mark::Colour),
    ("[39m", Mark::Colour),
    ("[91m", Mark::Colour),
    ("\\r\\n", Mark::End),
    ("\\n", Mark::End),
    ("\\r", Mark::End),
    ("#015#012", Mark::End),
    ("#012", Mark::End),
    ("#015", Mark::End),
    ("^M", Mark::End),
    ("\0", Mark::Character("")),
    ("\u{feff}", Mark::Character("")),
    ("\u{a0}", Mark::Character(" ")),
    ("&nbsp;", Mark::Character(" ")),
    ("&lt;", Mark::Character("<")),
    ("&gt;", Mark::Character(">")),
    ("&amp;", Mark::Character("&")),
    ("&quot;", Mark::Character("\"")),
    ("&apos;", Mark::Character("'")),
    ("\\u003c", Mark::Character("<")),
    ("\\u003e", Mark::Character(">")),
    ("\\u0026", Mark::Character("&")),
    ("\\u0009", Mark::Character(" ")),
    ("\\t", Mark::Character(" ")),
    ("&#", Mark::Numbered),
    ("<br", Mark::Tag),
    ("<pre", Mark::Tag),
    ("<p>", Mark::Tag),
    ("<span", Mark::Tag),
    ("<code", Mark::Tag),
    ("<div", Mark::Tag),
    ("<font", Mark::Tag),
    ("<td", Mark::Tag),
    ("<tr", Mark::Tag),
    ("<li", Mark::Tag),
    ("<a ", Mark::Tag),
    ("<b>", Mark::Tag),
    ("<em", Mark::Tag),
    ("<strong", Mark::Tag),
    ("</", Mark::Tag),
];

/// Elements whose beginning or end ends a line.
const BLOCKS: [&[u8]; 6] = [b"br", b"p", b"div", b"li", b"tr", b"pre"];

fn search() -> Option<&'static AhoCorasick> {
    static SEARCH: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let build = || {
        let kind = MatchKind::LeftmostFirst;
        let marks = MARKS.iter().map(|(mark, _)| mark);
        let dfa = Some(AhoCorasickKind::DFA);
        AhoCorasick::builder().match_kind(kind).kind(dfa).build(marks).ok()
    };
    SEARCH.get_or_init(build).as_ref()
}

/// Whether a text may have marks. Most logs have none, and these searches are faster.
fn may_have_marks(text: &[u8]) -> bool {
    let has = |mark: &str| memmem::find(text, mark.as_bytes()).is_some();
    // Reports have these bytes, too: a kernel's build is `#0`, a lock `&mm->mmap_lock`, and `^` is
    // below the byte that KASAN points at.
    let has_mark_of = |first: u8| {
        let mut marks = MARKS.iter().filter(|(mark, _)| mark.as_bytes().first() == Some(&first));
        memchr(first, text).is_some() && marks.any(|(mark, _)| has(mark))
    };
    memchr3(0x1b, 0, b'\\', text).is_some()
        || [b'#', b'&', b'^'].into_iter().any(has_mark_of)
        || ["[0m", "<br", "\u{a0}", "\u{feff}"].into_iter().any(has)
        || memmem::find_iter(text, b"</")
            .any(|at| text.get(at + 2).is_some_and(u8::is_ascii_lowercase))
}

/// The text without markup.
pub(super) fn plain(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if !may_have_marks(&text) {
        return text;
    }
    let Some(search) = search() else { return text };
    let mut plain = Vec::with_capacity(text.len());
    let mut done = 0;
    for found in search.find_iter(text.as_ref()) {
        if found.start() < done {
            continue;
        }
        let Some((_, mark)) = MARKS.get(found.pattern().as_usize()) else { continue };
        let rest = text.get(found.start()..).unwrap_or_default();
        let Some((length, instead)) = mark.read(rest, found.len()) else { continue };
        plain.extend_from_slice(text.get(done..found.start()).unwrap_or_default());
        match instead {
            Instead::Character(character) => {
                plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Instead::Text(text) => plain.extend_from_slice(text.as_bytes()),
            Instead::Split => plain.push(SPLIT),
        }
        done = found.start() + length;
    }
    plain.extend_from_slice(text.get(done..).unwrap_or_default());
    Cow::Owned(plain)
}

/// What replaces a mark.
enum Instead {
    Character(char),
    Text(&'static str),
    Split,
}

impl Mark {
    /// How long the mark is that a text begins with, and what replaces it; nothing if it is none.
    fn read(self, text: &[u8], length: usize) -> Option<(usize, Instead)> {
        let behind = text.get(length..)?;
        Some(match self {
            Self::Escape => (length + escape(text, behind), Instead::Text("")),
            Self::Colour => {
                let colour = text.get(1..)?;
                let end = colour.iter().take(16).position(|byte| !is_parameter(*byte))?;
                (colour.get(end) == Some(&b'm')).then_some((end + 2, Instead::Text("")))?
            }
            Self::End => (length, Instead::Split),
            Self::Character(character) => (length, Instead::Text(character)),
            Self::Numbered => {
                let end = behind.iter().take(8).position(|byte| *byte == b';')?;
                let digits = std::str::from_utf8(behind.get(..end)?).ok()?;
                let number = match digits.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => digits.parse().ok()?,
                };
                let character = char::from_u32(number)?;
                let ends = matches!(character, '\n' | '\r');
                let instead = if ends { Instead::Split } else { Instead::Character(character) };
                (length + end + 1, instead)
            }
            Self::Tag => tag(text)?,
        })
    }
}

/// How much of an escape sequence follows the escape character, which may be written out together
/// with the bracket that follows.
fn escape(text: &[u8], behind: &[u8]) -> usize {
    let written_out = text.first() != Some(&0x1b);
    match behind {
        _ if written_out => control_sequence(behind),
        [b'[', rest @ ..] => 1 + control_sequence(rest),
        // A title for the window: up to BEL or the next escape character.
        [b']', rest @ ..] => {
            let end = rest.iter().take(MAX_LENGTH);
            let end = end.take_while(|byte| !matches!(byte, 0x07 | 0x1b | b'\n')).count();
            1 + end + usize::from(rest.get(end) == Some(&0x07))
        }
        [b'(' | b')', _, ..] => 2,
        [b'\n' | b'\r' | b' ', ..] | [] => 0,
        [_, ..] => 1,
    }
}

/// The parameters and the final byte.
fn control_sequence(text: &[u8]) -> usize {
    let parameters = text.iter().take(MAX_LENGTH).take_while(|byte| (0x20..0x40).contains(*byte));
    let parameters = parameters.count();
    parameters + usize::from(text.get(parameters).is_some_and(|byte| (0x40..0x7f).contains(byte)))
}

fn is_parameter(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b';'
}

/// An HTML element: small letters, other than the kernel's own `<IRQ>` and `</TASK>`.
fn tag(text: &[u8]) -> Option<(usize, Instead)> {
    let end = text.iter().take(MAX_LENGTH).position(|byte| matches!(byte, b'>' | b'\n'))?;
    let inside = text.get(1..end).filter(|_| text.get(end) == Some(&b'>'))?;
    let inside = inside.strip_prefix(b"/").unwrap_or(inside);
    let name = inside.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let (name, rest) = inside.split_at_checked(name)?;
    let ends = rest.is_empty() || matches!(rest.first(), Some(b' ' | b'/' | b'0'..=b'9'));
    (!name.is_empty() && ends).then_some(())?;
    let block = BLOCKS.contains(&name);
    Some((end + 1, if block { Instead::Split } else { Instead::Text("") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(text: &str, wanted: &str) {
        let plain = plain(Cow::Borrowed(text.as_bytes()));
        assert_eq!(String::from_utf8_lossy(&plain).replace('\x1e', "|"), wanted);
    }

    #[test]
    fn colours_go_however_they_are_written() {
        for escape in ["\x1b[", "^[[", "#033[", "\\x1b[", "\\u001b["] {
            becomes(
                &format!("{escape}32m[    1.5] {escape}0m{escape}1;31mBUG:{escape}0m"),
                "[    1.5] BUG:",
            );
        }
        becomes("[32m[    1.5] [0m[0;31mBUG:[0m", "[    1.5] BUG:");
        becomes("\x1b]0;title\x07\x1b(Ba\x1b[?25lb\x1b[Kc\x1bMd", "abcd");
    }

    #[test]
    fn ends_of_lines_that_are_written_out_end_records() {
        becomes("a\\r\\nb\\nc#012d^Me<br/>f</p>g", "a|b|c|d|e|f|g");
    }

    #[test]
    fn html_is_read() {
        becomes(
            "<span class=\"x\">&lt;4&gt;&#91;1.5&#x5d;&nbsp;a &amp; b</span>",
            "<4>[1.5] a & b",
        );
        becomes("\\u003cIRQ\\u003e", "<IRQ>");
    }

    #[test]
    fn a_report_alone_is_not_searched_for_each_mark() {
        let report =
            "CPU: 1 PID: 2 Comm: x Not tainted 6.1.0 #0\n (&mm->mmap_lock){++++}-{3:3}\n ^\n";
        assert!(!may_have_marks(report.as_bytes()));
        let alone = |mark: Mark| !matches!(mark, Mark::Colour | Mark::Tag);
        for (text, _) in MARKS.iter().filter(|(_, mark)| alone(*mark)) {
            assert!(may_have_marks(format!("{report}{text}").as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn the_kernels_own_brackets_stay() {
        for text in [" <IRQ> </TASK> <#DF>", "Code: 0f <b8> 05 <0f> 0b", "<4>[    0.5] a[10] [1.5m"]
        {
            becomes(text, text);
        }
    }
}
