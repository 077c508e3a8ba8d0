//! Messages without the parts that differ from one crash to the next.
//!
//! Needs: a message. Gives: the same words, with addresses, numbers, CPUs and process ids
//! replaced or dropped.

/// The most bytes of a title.
const MAX_TITLE: usize = 120;
/// How many bytes of a message count.
const MAX_MESSAGE: usize = 512;

/// The message as a title has it.
pub(crate) fn scrubbed(message: &[u8]) -> String {
    let start = message.get(..message.len().min(MAX_MESSAGE)).unwrap_or_default();
    let text: String = String::from_utf8_lossy(start)
        .chars()
        .map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { ' ' } else { c })
        .collect();
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let in_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = piece(rest, in_word, &mut out).max(first.len_utf8());
        rest = rest.get(length..).unwrap_or_default();
    }
    finished(&out)
}

/// Copies the next piece or its replacement. Returns the piece's length.
fn piece(rest: &str, in_word: bool, out: &mut String) -> usize {
    let bytes = rest.as_bytes();
    if let Some(length) = offset(rest) {
        return length;
    }
    // `syz-executor.3`: a task's name and number.
    if out.ends_with(|c: char| c.is_ascii_alphabetic()) && bytes.first() == Some(&b'.') {
        let digits = run(rest.get(1..).unwrap_or_default(), |c| c.is_ascii_digit());
        if digits > 0 && ends_word(rest, digits + 1) {
            return digits + 1;
        }
    }
    if !in_word {
        if let Some(length) = prefixed(rest, "CPU#") {
            out.push_str("CPU");
            return length;
        }
        if let Some(length) = ip(rest) {
            out.push_str("IP");
            return length;
        }
        let (digits, hex) = if bytes.starts_with(b"0x") {
            (2, run(rest.get(2..).unwrap_or_default(), |c| c.is_ascii_hexdigit()))
        } else {
            (0, run(rest, |c| c.is_ascii_hexdigit()))
        };
        let word_ends = ends_word(rest, digits + hex);
        let mixed = rest.bytes().take(hex).any(|byte| byte.is_ascii_digit());
        if hex >= 6 && word_ends && (digits > 0 || mixed) {
            out.push_str("ADDR");
            return digits + hex;
        }
        if digits > 0 && hex > 0 && word_ends {
            out.push_str("ADDR");
            return digits + hex;
        }
    }
    if bytes.first().is_some_and(u8::is_ascii_digit) {
        let length = run(rest, |c| c.is_ascii_digit());
        if out.ends_with(":LINE:") {
            // A column.
            out.truncate(out.len() - 1);
        } else if ends_file(out) {
            out.push_str("LINE");
        } else if !in_word || length >= 6 {
            out.push_str("NUM");
        } else {
            out.push_str(rest.get(..length).unwrap_or_default());
        }
        return length;
    }
    if let Some(first) = rest.chars().next() {
        out.push(first);
    }
    0
}

/// Whether a file's name and a colon are the end of a text.
fn ends_file(text: &str) -> bool {
    let file = text.strip_suffix(':').and_then(|text| text.rsplit_once('.'));
    file.is_some_and(|(name, extension)| {
        name.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            && extension.starts_with(|c: char| c.is_ascii_alphabetic())
            && extension.len() <= 4
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// The length of `+0x12/0x34` after a function.
fn offset(rest: &str) -> Option<usize> {
    let behind = rest.strip_prefix("+0x")?;
    let offset = run(behind, |c| c.is_ascii_hexdigit());
    if offset == 0 {
        return None;
    }
    let size = behind
        .get(offset..)?
        .strip_prefix("/0x")
        .map(|size| run(size, |c| c.is_ascii_hexdigit()) + 3);
    Some(3 + offset + size.unwrap_or(0))
}

/// `CPU#3`.
fn prefixed(rest: &str, prefix: &str) -> Option<usize> {
    let digits = run(rest.strip_prefix(prefix)?, |c| c.is_ascii_digit());
    (digits > 0).then_some(prefix.len() + digits)
}

/// `10.0.2.15`.
fn ip(rest: &str) -> Option<usize> {
    let length = run(rest, |c| c.is_ascii_digit() || c == '.');
    let parts: Vec<&str> = rest.get(..length)?.split('.').collect();
    let fits = parts.len() == 4 && parts.iter().all(|part| (1..=3).contains(&part.len()));
    fits.then_some(length)
}

/// How many ASCII characters fit.
fn run(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.chars().take_while(|c| c.is_ascii() && fits(*c)).count()
}

fn ends_word(rest: &str, at: usize) -> bool {
    !rest
        .get(at..)
        .and_then(|rest| rest.chars().next())
        .is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// With single blanks, and cut to a title's length.
fn finished(text: &str) -> String {
    let mut title = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if title.len() > MAX_TITLE {
        let end = (0..=MAX_TITLE).rev().find(|at| title.is_char_boundary(*at)).unwrap_or(0);
        title.truncate(end);
        title.truncate(title.trim_end().len());
    }
    title
}

#[cfg(test)]
mod tests {
    use super::scrubbed;

    #[test]
    fn what_differs_is_replaced() {
        for (message, title) in [
            ("a  b\tc ", "a b c"),
            ("at ffff88005fac4300 idx", "at ADDR idx"),
            ("at 0xfee00001", "at ADDR"),
            ("decade of bad feed", "decade of bad feed"),
            (
                "VFS: Unable to mount root fs on unknown-block(0,0)",
                "VFS: Unable to mount root fs on unknown-block(NUM,NUM)",
            ),
            ("data-race in a+0x1/0x2 / b+0x33/0x44", "data-race in a / b"),
            ("stuck on CPU#12 for 22s", "stuck on CPU for NUMs"),
            ("fs/x.c:123 is bad", "fs/x.c:LINE is bad"),
            ("kernel/x.rs:12:5: no", "kernel/x.rs:LINE: no"),
            ("arch/x.S:7 and v1.2: 3", "arch/x.S:LINE and v1.NUM: NUM"),
            ("to 10.0.2.15: no", "to IP: no"),
            ("ext4 i915", "ext4 i915"),
            ("task syz-executor.3 of v1.2.x", "task syz-executor of v1.NUM.x"),
            ("bell\x07 \u{fffd}", "bell"),
        ] {
            assert_eq!(scrubbed(message.as_bytes()), title);
        }
    }

    #[test]
    fn a_title_has_120_bytes_at_most_and_whole_characters() {
        let long = scrubbed("ä ".repeat(200).as_bytes());
        assert!(long.len() <= 120 && long.ends_with('ä'));
    }
}
