//! A report as one HTML page that needs nothing else.
//!
//! Light and dark as the reader's system is; the log can be searched, stacks fold. The page
//! loads nothing, and its policy forbids it to: of scripts, only its own runs, which is
//! known by its hash. What comes from the guest is text, and stays text.

use std::fmt::Write as _;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::html_parts as parts;
use super::{html_pictures as pictures, lines};
use crate::triage::report::data::{CpuState, Report};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Prints a report as an HTML page.
///
/// # Errors
/// Fails if `out` does.
pub fn page(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut body = String::new();
    answer(report, &mut body);
    parts::bugcheck(report, &mut body);
    cpus(report, &mut body);
    parts::event(report, &mut body);
    parts::log(report, &mut body);
    parts::tasks(report, &mut body);
    memory(report, &mut body);
    parts::mounts(report, &mut body);
    parts::modules(report, &mut body);
    parts::machine(report, &mut body);
    parts::findings(report, &mut body);
    let title = escape(&report.title);
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        base64(&Sha256::digest(SCRIPT.as_bytes()))
    );
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"{}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        escape(&report.tool)
    )
}

fn answer(report: &Report, out: &mut String) {
    let _ = writeln!(out, "<h1>{}</h1>", escape(&report.title));
    let told =
        format!("{}, told by {}", lines::trust(report.trust), lines::told_by(report.told_by));
    let _ = writeln!(out, "<p class=\"faint\">{}</p>\n<dl>", escape(&told));
    let mut row = |name: &str, text: &str| {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(text));
    };
    if let Some(message) = &report.panic_message {
        row("Panic", message);
    }
    if let Some(function) = &report.function {
        let module = report.module.as_ref().map(|module| format!(" [{module}]"));
        row("Function", &format!("{function}{}", module.unwrap_or_default()));
    }
    if let Some(panicked) = lines::panicked(report) {
        row("Where", &panicked);
    }
    row("Kernel", &lines::kernel(&report.kernel));
    row("Machine", &lines::machine(&report.machine));
    if let Some(event) = &report.event {
        row("Chosen", &event.why);
    }
    if let Some(bucket) = &report.signature {
        let variant = report.variant.as_ref().map(|variant| format!(", variant {variant}"));
        let weak = if report.weak { ", weak" } else { "" };
        row("Signature", &format!("{bucket}{}{weak}", variant.unwrap_or_default()));
    }
    if !report.alt_titles.is_empty() {
        row("Also", &report.alt_titles.join("; "));
    }
    out.push_str("</dl>\n");
    if let Some(finding) = report.findings.first() {
        let more = match report.findings.len() {
            1 => String::new(),
            count => format!(" <a href=\"#findings\">{count} findings</a>"),
        };
        let _ = writeln!(out, "<p class=\"bad\">{}{more}</p>", escape(&finding.text));
    }
}

fn cpus(report: &Report, out: &mut String) {
    if report.cpus.is_empty() {
        return;
    }
    out.push_str("<h2>CPUs</h2>\n");
    pictures::cpus(&report.cpus, out);
    out.push_str(
        "<p><button id=\"open-all\">Open all stacks</button> \
         <button id=\"close-all\">Close all</button></p>\n",
    );
    let mut cpus: Vec<_> = report.cpus.iter().collect();
    cpus.sort_by_key(|cpu| cpu.state != CpuState::Panicked);
    for cpu in cpus {
        parts::cpu(cpu, out);
    }
}

fn memory(report: &Report, out: &mut String) {
    let Some(memory) = &report.memory else { return };
    out.push_str("<h2>Memory</h2>\n");
    pictures::memory(memory, out);
}

/// Text as text: nothing in it is taken for a tag, an attribute's end or a reference.
/// Control characters, which no page may have, are replaced.
#[must_use]
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.push('\u{fffd}');
            }
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Base64 with padding, as the policy wants a hash.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(group.get(index).copied().unwrap_or_default());
        }
        for index in 0..4_usize {
            let digit = usize::try_from(bits >> (18 - 6 * index) & 63).unwrap_or_default();
            let digit = DIGITS.get(digit).copied().unwrap_or(b'=');
            text.push(if index <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
