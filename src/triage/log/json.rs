//! Lines of JSON: what journals, container engines and collectors of logs write.
//!
//! Which member has the kernel's message is learnt from the lines with words that only the kernel
//! writes ([`super::anchors`]), and so is the member that names the kernel. Where no line has such
//! words, the usual names of members are tried, and a line is another program's unless one of its
//! members is `kernel`.
//!
//! Needs: a text. Gives: the text with the message in place of each object.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::{memchr, memmem};
use serde_json::Value;

use super::anchors::{self, KERNEL, OTHER};
use super::markup::SPLIT;

/// The longest line that is parsed.
const MAX_LINE: usize = 16 << 20;
/// How many lines with the kernel's words are enough to learn from.
const LEARNT: usize = 64;
/// How many lines are parsed to find them.
const MAX_SEARCHED: usize = 20_000;
/// The most members of a line.
const MAX_MEMBERS: usize = 20_000;
/// Members with a message, the first one that a line has.
const USUAL: [&str; 10] = [
    "MESSAGE",
    "message",
    "msg",
    "log",
    "text",
    "line",
    "short_message",
    "textPayload",
    "body",
    "content",
];

/// Members that name the program whose message it is.
const PROGRAM: [&str; 4] = ["SYSLOG_IDENTIFIER", "_COMM", "syslog_identifier", "appname"];
/// So many lines with the kernel's words show that a program passes a report on.
const REPORT: usize = 3;

/// The text with messages instead of objects.
pub(super) fn messages(log: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let first = log.trim_ascii_start().first();
    if !matches!(first, Some(b'{' | b'[')) && memmem::find(&log, b"\n{").is_none() {
        return log;
    }
    let members = Members::learn(&log);
    let mut text = Vec::with_capacity(log.len());
    let mut any = false;
    for line in lines(&log) {
        match object(line) {
            Some(object) => {
                members.write(&object, &mut text);
                any = true;
            }
            None => text.extend_from_slice(line),
        }
        text.push(b'\n');
    }
    if any { Cow::Owned(text) } else { log }
}

fn lines(log: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(log).filter(|log| !log.is_empty());
    std::iter::from_fn(move || {
        let log = rest?;
        let end = memchr(b'\n', log).unwrap_or(log.len());
        let (line, behind) = log.split_at_checked(end)?;
        rest = behind.get(1..).filter(|behind| !behind.is_empty());
        Some(line)
    })
}

/// The object or list of objects that a line is.
fn object(line: &[u8]) -> Option<Value> {
    let line = line.trim_ascii();
    let line = line.strip_suffix(b",").unwrap_or(line);
    let closed = matches!(line, [b'{', .., b'}'] | [b'[', b'{', .., b']']);
    let short = closed && line.len() <= MAX_LINE;
    short.then(|| serde_json::from_slice(line).ok())?
}

/// Which members are of interest.
#[derive(Default)]
struct Members {
    /// The one with the message, if that was learnt.
    message: Option<String>,
    /// The one that is `kernel`.
    source: Option<String>,
    /// How many lines have the kernel's words.
    found: usize,
}

impl Members {
    fn learn(log: &[u8]) -> Self {
        let (mut messages, mut sources) = (HashMap::new(), HashMap::new());
        let mut found = 0;
        for object in lines(log).filter_map(object).take(MAX_SEARCHED) {
            let members = members(&object);
            let mut any = false;
            for (path, text) in &members {
                if anchors::is_in(text) {
                    *messages.entry(path.clone()).or_insert(0_usize) += 1;
                    any = true;
                }
            }
            for (path, text) in members {
                if any && is_kernel(&text) {
                    *sources.entry(path).or_insert(0_usize) += 1;
                }
            }
            found += usize::from(any);
            if found >= LEARNT {
                break;
            }
        }
        let most = |counts: HashMap<String, usize>| {
            counts.into_iter().max_by(|one, other| (one.1, &other.0).cmp(&(other.1, &one.0)))
        };
        let source = most(sources).filter(|(_, count)| *count == found);
        let path = |(path, _)| path;
        Self { message: most(messages).map(path), source: source.map(path), found }
    }

    /// Writes the messages of an object.
    fn write(&self, object: &Value, text: &mut Vec<u8>) {
        let members = members(object);
        let named = members.iter().any(|(path, text)| {
            is_kernel(text) && self.source.as_ref().is_none_or(|source| source == path)
        });
        let by_program = || members.iter().any(|(path, _)| PROGRAM.contains(&path.as_str()));
        let quoted = self.found < REPORT && by_program();
        if named {
            text.push(KERNEL);
        } else if self.message.is_none() || self.source.is_some() || quoted {
            text.push(OTHER);
        }
        let usual = || USUAL.iter().find(|name| members.iter().any(|(path, _)| path == *name));
        let wanted = self.message.as_deref().or_else(|| usual().copied());
        for (_, message) in members.iter().filter(|(path, _)| Some(path.as_str()) == wanted) {
            let message = message.trim_ascii_end();
            text.extend(message.iter().map(|byte| if *byte == b'\n' { SPLIT } else { *byte }));
            text.push(SPLIT);
        }
    }
}

fn is_kernel(text: &[u8]) -> bool {
    matches!(text, b"kernel" | b"kern")
}

/// The strings of an object, each with its path.
fn members(object: &Value) -> Vec<(String, Vec<u8>)> {
    let mut members = Vec::new();
    collect(object, String::new(), &mut members);
    members
}

fn collect(value: &Value, path: String, members: &mut Vec<(String, Vec<u8>)>) {
    if members.len() >= MAX_MEMBERS {
        return;
    }
    match value {
        Value::String(text) => members.push((path, text.clone().into_bytes())),
        Value::Array(values) => {
            // A journal writes a message that is not UTF-8 as the list of its bytes.
            let bytes = values.iter().map(|value| u8::try_from(value.as_u64()?).ok());
            match bytes.collect::<Option<Vec<u8>>>() {
                Some(bytes) if !bytes.is_empty() => members.push((path, bytes)),
                _ => values.iter().for_each(|value| collect(value, path.clone(), members)),
            }
        }
        Value::Object(values) => {
            for (name, value) in values {
                let inside = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(value, inside, members);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(log: &str) -> Vec<u8> {
        messages(Cow::Borrowed(log.as_bytes())).into_owned()
    }

    #[test]
    fn a_program_that_quotes_the_kernel_in_a_journal_is_no_kernel() {
        let quoting = r#"{"SYSLOG_IDENTIFIER":"app","MESSAGE":"BUG: unable to handle x"}"#;
        assert_eq!(text(quoting).first(), Some(&OTHER));
        let kernels = r#"{"SYSLOG_IDENTIFIER":"kernel","MESSAGE":"BUG: unable to handle x"}"#;
        assert_eq!(text(kernels).first(), Some(&KERNEL));
        // A program that passes a guest's console on.
        let words = ["BUG: unable to handle x", "Modules linked in: x", "Call Trace:"];
        let relayed =
            words.map(|text| format!(r#"{{"SYSLOG_IDENTIFIER":"vm","MESSAGE":"{text}"}}"#));
        assert_eq!(text(&relayed.join("\n")).first(), Some(&b'B'));
    }
}
