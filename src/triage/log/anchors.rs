//! Words with which only a kernel's message begins: where they are within a line, something other
//! than the kernel wrote what is before them.
//!
//! Needs: a log. Gives: the first such place of each line. The layout of a file is learnt from
//! these ([`super::layout`]).

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::{memchr2, memrchr2};

use super::markup::SPLIT;

/// Begins a line that is another program's, as the members of its JSON object say.
pub(super) const OTHER: u8 = 0x1f;
/// Begins a line that is the kernel's, by its own members.
pub(super) const KERNEL: u8 = 0x1d;

/// What has to follow an anchor's words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Anything,
    /// The line ends: whatever follows is not the kernel's.
    End,
    /// The same, but blanks of the kernel's own precede the words.
    IndentedEnd,
    Digit,
    Hex,
    /// These words, somewhere.
    Words(&'static str),
    /// The words are those of a log daemon, which names the kernel: the message follows.
    Message,
}

/// So few words are searched for with vector instructions.
const ANCHORS: [(&str, Behind); 61] = [
    ("kernel: ", Behind::Message),
    ("Call Trace:", Behind::End),
    ("Call trace:", Behind::End),
    ("<TASK>", Behind::IndentedEnd),
    ("</TASK>", Behind::IndentedEnd),
    ("<IRQ>", Behind::IndentedEnd),
    ("------------[ cut here ]------------", Behind::End),
    ("8<--- cut here ---", Behind::End),
    ("---[ end trace ", Behind::Words("]---")),
    ("---[ end Kernel panic", Behind::Anything),
    ("Backtrace: ", Behind::Anything),
    ("Modules linked in:", Behind::Anything),
    ("Hardware name: ", Behind::Anything),
    ("CPU: ", Behind::Words(" Comm: ")),
    ("Pid: ", Behind::Words(", comm: ")),
    ("RIP: 0010:", Behind::Anything),
    ("RIP: 0033:", Behind::Anything),
    ("EIP: 0060:", Behind::Anything),
    ("RSP: 0018:", Behind::Anything),
    ("RAX: ", Behind::Hex),
    ("PC is at ", Behind::Anything),
    ("pc : ", Behind::Anything),
    ("pstate: ", Behind::Hex),
    ("epc : ", Behind::Anything),
    ("NIP [", Behind::Hex),
    ("Krnl PSW : ", Behind::Hex),
    ("CR2: ", Behind::Hex),
    ("PGD 0 P4D", Behind::Anything),
    ("#PF: ", Behind::Anything),
    ("Kernel Offset: ", Behind::Anything),
    ("Linux version ", Behind::Digit),
    ("Booting Linux on physical CPU", Behind::Anything),
    ("Kernel command line: ", Behind::Anything),
    ("Kernel panic - not syncing", Behind::Anything),
    ("BUG: kernel NULL pointer dereference", Behind::Anything),
    ("BUG: unable to handle ", Behind::Anything),
    ("Unable to handle kernel ", Behind::Anything),
    ("watchdog: BUG: soft lockup - ", Behind::Anything),
    ("NMI watchdog: ", Behind::Anything),
    ("watchdog: ", Behind::Words("LOCKUP")),
    ("BUG: soft lockup - ", Behind::Anything),
    ("BUG: KASAN: ", Behind::Anything),
    ("BUG: scheduling while atomic", Behind::Anything),
    ("BUG: sleeping function called", Behind::Anything),
    ("BUG: Bad page ", Behind::Anything),
    ("rcu: INFO: ", Behind::Words("stall")),
    ("INFO: rcu", Behind::Words("stall")),
    ("INFO: task ", Behind::Words(" blocked for more than ")),
    ("WARNING: CPU: ", Behind::Digit),
    ("WARNING: at ", Behind::Anything),
    ("WARNING: possible ", Behind::Anything),
    ("UBSAN: ", Behind::Anything),
    ("kernel BUG at ", Behind::Anything),
    ("Internal error: ", Behind::Words("[#")),
    ("Oops: ", Behind::Words("[#")),
    ("general protection fault", Behind::Words("[#")),
    ("invalid opcode: ", Behind::Words("[#")),
    ("divide error: ", Behind::Words("[#")),
    ("Unhandled fault: ", Behind::Anything),
    ("SError Interrupt on CPU", Behind::Digit),
    ("NMI backtrace for cpu ", Behind::Digit),
];

/// Words with which only a kernel's message begins, within a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor<'a> {
    /// What precedes the message.
    pub(super) before: &'a [u8],
    /// What follows the message, if its end is known.
    pub(super) after: Option<&'a [u8]>,
    /// Whether the message begins where `before` ends; blanks of its own may be there, too.
    pub(super) begins: bool,
    /// Whether a log daemon's name of the kernel is all there is.
    pub(super) is_tag: bool,
    /// One bit, for the anchor's words.
    pub(super) kind: u64,
}

fn search() -> Option<&'static AhoCorasick> {
    static SEARCH: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let build = || {
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            // Built in a fifth of the time that a DFA takes, and few bytes get past the vectors.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(ANCHORS.iter().map(|(words, _)| words));
        search.ok()
    };
    SEARCH.get_or_init(build).as_ref()
}

/// The first anchor of each line.
pub(super) fn each(log: &[u8]) -> impl Iterator<Item = Anchor<'_>> {
    let mut line_end = 0;
    search().into_iter().flat_map(move |search| search.find_iter(log)).filter_map(move |found| {
        if found.start() < line_end {
            return None;
        }
        let before = log.get(..found.start())?;
        let start = memrchr2(b'\n', SPLIT, before).map_or(0, |at| at + 1);
        let behind = log.get(found.end()..)?;
        let end = found.end() + memchr2(b'\n', SPLIT, behind).unwrap_or(behind.len());
        // What an object's own members say is no prefix.
        let start = match log.get(start) {
            Some(&OTHER) => return None,
            Some(&KERNEL) => start + 1,
            _ => start,
        };
        let at = found.start().checked_sub(start)?;
        let line = log.get(start..end)?;
        let anchor = anchor(line, at, at + found.len(), found.pattern().as_usize())?;
        line_end = end;
        Some(anchor)
    })
}

/// Whether a text has an anchor.
pub(super) fn is_in(text: &[u8]) -> bool {
    each(text).any(|anchor| !anchor.is_tag)
}

/// Whether a message begins with an anchor.
pub(super) fn begins(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let found = search().and_then(|search| search.find(text));
    found.filter(|found| found.start() == 0).is_some_and(|found| {
        anchor(text, found.start(), found.end(), found.pattern().as_usize())
            .is_some_and(|anchor| !anchor.is_tag)
    })
}

fn anchor(line: &[u8], start: usize, end: usize, which: usize) -> Option<Anchor<'_>> {
    let (_, needs) = ANCHORS.get(which)?;
    let behind = line.get(end..)?;
    let fits = match needs {
        Behind::Anything | Behind::End | Behind::IndentedEnd => true,
        Behind::Message => start == 0 || line.get(start - 1).is_some_and(u8::is_ascii_whitespace),
        Behind::Digit => behind.first().is_some_and(u8::is_ascii_digit),
        Behind::Hex => behind.get(..8).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        Behind::Words(words) => memchr::memmem::find(behind, words.as_bytes()).is_some(),
    };
    // The end of a longer word is none: `DEBUG: …`.
    let own = start == 0
        || line.get(start - 1).is_some_and(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    (fits && own).then_some(())?;
    let is_tag = *needs == Behind::Message;
    Some(Anchor {
        before: line.get(..if is_tag { end } else { start })?,
        after: matches!(needs, Behind::End | Behind::IndentedEnd).then_some(behind),
        begins: *needs != Behind::IndentedEnd,
        is_tag,
        kind: 1 << which,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn befores(log: &str) -> Vec<String> {
        let text = |anchor: Anchor<'_>| String::from_utf8_lossy(anchor.before).into_owned();
        each(log.as_bytes()).map(text).collect()
    }

    #[test]
    fn what_precedes_the_kernels_words_is_found_once_in_a_line() {
        let log =
            "a: Call Trace:\nb: CPU: 1 PID: 2 Comm: x Call Trace:\nc kernel: Call Trace:\nd\n";
        assert_eq!(befores(log), ["a: ", "b: ", "c kernel: "]);
        assert_eq!(each(b"a: Call Trace:\"}").next().unwrap().after, Some(b"\"}".as_slice()));
        assert!(begins(b" <TASK>") && begins(b"Call Trace:") && !begins(b"a Call Trace:"));
    }

    #[test]
    fn words_that_others_write_too_need_what_follows() {
        for text in
            ["CPU: 3 usage", "the Linux version is", "Oops: sorry", "DEBUG: soft", "x_pc : "]
        {
            assert!(!is_in(text.as_bytes()), "{text}");
        }
    }
}
