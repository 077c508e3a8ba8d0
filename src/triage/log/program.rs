//! Whose line it is, by what log daemons put before every message: a time, a host, a name.
//!
//! ```text
//! Mar 03 10:11:12 web kernel: text              the kernel's
//! Mar 03 10:11:12 web sshd[77]: text            a program's
//! 2025-03-03T10:11:12+00:00 web app 77 - - text a program's (RFC 5424)
//! [   77.000001] app[77]: text                  a program's, by way of the kernel's log
//! 2025-03-03 10:11:12,123 ERROR app.db text     a program's own file
//! E0303 10:11:12.123456   77 file.go:83] text   the same (klog, glog)
//! time=2025-03-03T10:11:12Z level=error msg=... the same (logfmt)
//! ```
//!
//! Needs: a line. Gives: whose it is, and where its message begins.

use memchr::{memchr, memchr_iter};

/// The most bytes before a message.
const MAX_BEFORE: usize = 256;
/// Within how many bytes the time of day ends.
const CLOCK_WITHIN: usize = 64;
/// How long a time of day is.
const CLOCK: usize = 8;
/// What programs write behind the time.
const LEVELS: [&str; 11] = [
    "trace", "debug", "info", "notice", "warn", "warning", "error", "err", "fatal", "critical",
    "severe",
];

/// Whose line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A log daemon's file, which names the kernel.
    Kernel,
    /// The kernel's, with the prefix that the file has.
    Prefixed,
    Program,
    Unknown,
}

/// Whose line it is, and how long the daemon's part is, if it is the kernel's.
pub(super) fn source(line: &[u8]) -> (usize, Source) {
    let line = line.get(..line.len().min(MAX_BEFORE)).unwrap_or_default();
    if is_own_log(line) {
        return (0, Source::Program);
    }
    let Some(clock) = clock(line) else {
        let named = begins_with_program(line);
        return (0, if named { Source::Program } else { Source::Unknown });
    };
    let behind = line.get(clock..).unwrap_or_default();
    // The rest of the time: a fraction, a zone, a bracket.
    let rest = behind.iter().position(|byte| *byte == b' ').unwrap_or(behind.len());
    let mut at = clock + rest;
    let mut numbered = false;
    for index in 0..6 {
        let text = line.get(at..).unwrap_or_default();
        let blanks = text.iter().take_while(|byte| **byte == b' ').count();
        let word = text.get(blanks..).unwrap_or_default();
        let word = word.split(|byte| *byte == b' ').next().unwrap_or_default();
        at += blanks + word.len();
        if word == b"kernel:" {
            // One blank separates the message.
            let blank = usize::from(line.get(at) == Some(&b' '));
            return (at + blank, Source::Kernel);
        }
        if let Some(name) = word.strip_suffix(b":") {
            // A host goes before a name, and a zone may go before the host.
            let program = with_pid(name) || (1..3).contains(&index) && named(name);
            return (0, if program { Source::Program } else { Source::Unknown });
        }
        // RFC 5424: the process's number and the message's name, or `-` for each.
        let dash = word == b"-" || !word.is_empty() && word.iter().all(u8::is_ascii_digit);
        if dash && numbered {
            return (0, Source::Program);
        }
        numbered = dash && index > 1;
        if !named(word) && !dash && index > 0 {
            break;
        }
    }
    (0, Source::Unknown)
}

/// Whether a line has the form of a program's own log: the layout of a file that only passes the
/// kernel's messages on is learnt from them, and asked before.
pub(super) fn is_own_log(line: &[u8]) -> bool {
    if [b"time=".as_slice(), b"ts=", b"level="].iter().any(|start| line.starts_with(start)) {
        return true;
    }
    let Some(clock) = clock(line) else { return false };
    let date = line.get(..clock - CLOCK).unwrap_or_default();
    if let [b'I' | b'W' | b'E' | b'F', digits @ .., b' '] = date
        && matches!(digits.len(), 4 | 8)
        && digits.iter().all(u8::is_ascii_digit)
    {
        return true;
    }
    let behind = line.get(clock..).unwrap_or_default();
    let mut words = behind.split(|byte| *byte == b' ').skip(1).filter(|word| !word.is_empty());
    let levelled = |word: &[u8]| {
        let word = word.strip_prefix(b"[").unwrap_or(word);
        let word = word.strip_suffix(b"]").unwrap_or(word);
        LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level.as_bytes()))
    };
    words.next().is_some_and(levelled)
}

/// Whether a message of the kernel's log begins with a program's name: `name[12]: `, perhaps
/// with the host before it.
pub(super) fn begins_with_program(text: &[u8]) -> bool {
    let text = text.get(..text.len().min(CLOCK_WITHIN)).unwrap_or_default();
    let Some(colon) = memchr(b':', text) else { return false };
    if colon.checked_sub(1).and_then(|at| text.get(at)) != Some(&b']') {
        return false;
    }
    let before = text.get(..colon).unwrap_or_default();
    let mut words = before.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (Some(first), second, None) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    with_pid(second.unwrap_or(first))
}

/// `name[12]`
fn with_pid(word: &[u8]) -> bool {
    let parts = word.strip_suffix(b"]").and_then(|word| {
        let open = memchr(b'[', word)?;
        Some((word.get(..open)?, word.get(open + 1..)?))
    });
    parts.is_some_and(|(name, pid)| {
        name != b"kernel" && named(name) && !pid.is_empty() && pid.iter().all(u8::is_ascii_digit)
    })
}

/// Whether a word may be the name of a host or a program.
fn named(word: &[u8]) -> bool {
    let part = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'@' | b'(' | b')')
    };
    word.first().is_some_and(u8::is_ascii_alphabetic) && word.iter().all(part)
}

/// Where the time of day ends, `10:11:12`, if a line begins with one.
fn clock(line: &[u8]) -> Option<usize> {
    let start = line.get(..line.len().min(CLOCK_WITHIN))?;
    memchr_iter(b':', start).find_map(|at| {
        let clock = start.get(at.checked_sub(2)?..at.checked_add(6)?)?;
        let [a, b, b':', c, d, b':', e, f] = clock else { return None };
        [a, b, c, d, e, f].iter().all(|byte| byte.is_ascii_digit()).then_some(at + 6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_says_whose_line_it_is() {
        for (line, source_is) in [
            ("Mar 03 10:11:12 web kernel: a", Source::Kernel),
            ("Mon 2025-03-03 10:11:12.123456 UTC web kernel: a", Source::Kernel),
            ("3\u{6708} 03 10:11:12 box kernel: a", Source::Kernel),
            ("Mar 03 10:11:12 web sshd[77]: a", Source::Program),
            ("Mar 03 10:11:12 web systemd-journald: a b", Source::Program),
            ("2025-03-03T10:11:13+00:00 web app 123 - - a", Source::Program),
            ("2025-03-03T10:11:13+00:00 web app - - - a", Source::Program),
            ("app[12]: a", Source::Program),
            ("web app[12]: a", Source::Program),
            ("2025-03-03 10:11:12.123  INFO 1 --- [main] app : a", Source::Program),
            ("2025/03/03 10:11:12 [error] 77#77: *1 a", Source::Program),
            ("2025-03-03T10:11:12.123456Z ERROR app::db: a", Source::Program),
            ("[2025-03-03T10:11:12Z ERROR app::db] a", Source::Program),
            ("E0303 10:11:12.203531   12345 kubelet.go:83] a", Source::Program),
            ("W20250303 10:11:12.203531 12345 x.cc:83] a", Source::Program),
            ("time=\"2025-03-03T10:11:12Z\" level=error msg=\"a\"", Source::Program),
            ("10:11:12 BUG: a", Source::Unknown),
            ("10:11:12 FATAL: worker 4 failed 11 times: a", Source::Unknown),
            ("BUG: a", Source::Unknown),
            ("rcu: INFO: a", Source::Unknown),
            ("usb 1-1: a", Source::Unknown),
            ("pci 0000:00:02.0: [8086:29c0] a", Source::Unknown),
        ] {
            assert_eq!(source(line.as_bytes()).1, source_is, "{line}");
        }
        assert_eq!(source(b"Mar 03 10:11:12 web kernel:  a"), (28, Source::Kernel));
    }
}
