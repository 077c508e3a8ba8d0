//! What commands print: bounded, without control characters, and JSON that reads back.

use std::io::{self, Write};

use serde_json::Value;
use vmcorectl::triage::report::Report;

/// Collects what a command prints, up to a limit.
pub(crate) struct Output {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        assert!(self.bytes.len() <= self.most, "output: more than {} bytes", self.most);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `print` prints as text. Returns its length.
pub(crate) fn text(most: usize, print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> usize {
    let bytes = printed(most, print);
    printable(&bytes);
    bytes.len()
}

/// What `print` prints as JSON: a value on each line, or one on many. Returns its length.
pub(crate) fn json(most: usize, print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> usize {
    let bytes = printed(most, print);
    let text = printable(&bytes);
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        value.expect("JSON that does not read back");
    }
    bytes.len()
}

/// The JSON of a report, which is the same when it is read back and written again.
pub(crate) fn report_json(most: usize, report: &Report) -> usize {
    let written = report.to_json();
    assert!(written.len() <= most, "output: a report of {} bytes, at most {most}", written.len());
    printable(&written);
    let read: Report = serde_json::from_slice(&written).expect("report.json does not read back");
    assert!(read.to_json() == written, "report.json is another one when it is read back");
    written.len()
}

fn printed(most: usize, print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<u8> {
    let mut output = Output { bytes: Vec::new(), most };
    print(&mut output).expect("printing failed");
    output.bytes
}

/// The same as text, in which a terminal finds nothing to obey.
fn printable(bytes: &[u8]) -> &str {
    let text = std::str::from_utf8(bytes).expect("output that is not UTF-8");
    let raw = text.chars().find(|c| !matches!(c, '\n' | '\t') && is_unprintable(*c));
    assert_eq!(raw, None, "a control character in the output");
    text
}

/// Whether a terminal would not print a character, or print others in another order.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
