//! JSON that can be printed.
//!
//! JSON escapes C0 only. Here all characters that are not printed are escaped as `\uXXXX`: the
//! values are the same, and no terminal obeys them.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::is_printable;

/// Writes a value as JSON on one line.
pub fn line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    write(value, CompactFormatter, out)
}

/// Writes a value as indented JSON.
pub fn pretty(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    write(value, PrettyFormatter::new(), out)
}

fn write(value: &impl Serialize, inner: impl Formatter, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut *out, Escaping(inner));
    value.serialize(&mut serializer)?;
    writeln!(out)
}

/// Escapes what is not printed, and leaves the rest to another formatter.
struct Escaping<F>(F);

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // As a rule there is none.
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_printable(*c)) {
            let (before, behind) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            // All of them have 16 bits.
            write!(out, "\\u{:04x}", u32::from(c))?;
            rest = behind.get(c.len_utf8()..).unwrap_or_default();
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_not_printed_is_escaped_and_the_value_is_the_same() {
        let all: String = ('\0'..='\u{2100}').filter(|c| !is_printable(*c)).collect();
        let value = json!({ &all: [all, "ü \"\\ 日本", 7, null], "b": {} });
        for text in [printed(|out| line(&value, out)), printed(|out| pretty(&value, out))] {
            assert!(text.chars().all(|c| is_printable(c) || c == '\n'), "{text:?}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn all_else_is_what_json_always_is() {
        let value = json!({ "a": [1, [], { "b": "\u{1f980}ü" }], "c": {}, "d": 1.5 });
        let expected = serde_json::to_string(&value).unwrap() + "\n";
        assert_eq!(printed(|out| line(&value, out)), expected);
        let expected = serde_json::to_string_pretty(&value).unwrap() + "\n";
        assert_eq!(printed(|out| pretty(&value, out)), expected);
    }
}
