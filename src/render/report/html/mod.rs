//! A report as one HTML page that needs nothing else.
//!
//! Light or dark as the reader's system is; the log can be searched, stacks fold. The page loads
//! nothing, and its policy forbids it to: no script runs but its own, which the policy names by
//! its hash. Text of the guest is escaped (`guest_text`).

mod guest_text;
mod parts;
mod pictures;

use std::io::{self, Write};

use guest_text::GuestText;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::lines;
use crate::render::crash_title::crash_title;
use crate::triage::report::data::{CpuState, Report};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Prints a report as an HTML page.
pub fn page(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        base64(&Sha256::digest(SCRIPT.as_bytes()))
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(GuestText(&report.tool));
                title { (GuestText(&crash_title(&report.title))) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (answer(report))
                (parts::bugcheck(report))
                (cpus(report))
                (parts::event(report))
                (parts::log(report))
                (parts::tasks(report))
                @if let Some(memory) = &report.memory {
                    h2 { "Memory" }
                    (pictures::memory(memory))
                }
                (parts::mounts(report))
                (parts::modules(report))
                (parts::machine(report))
                (parts::findings(report))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    writeln!(out, "{}", page.0)
}

/// What fits on the first screen.
fn answer(report: &Report) -> Markup {
    html! {
        h1 { (GuestText(&crash_title(&report.title))) }
        p.faint { (lines::trust(report.trust)) ", from " (lines::title_source(report.title_source)) }
        dl {
            @for (name, text) in lines::answer(report) {
                dt { (name) }
                dd { (GuestText(text)) }
            }
            @if !report.alt_titles.is_empty() {
                dt { "Also" }
                dd { (GuestText(report.alt_titles.join("; "))) }
            }
        }
        @if let Some(finding) = report.findings.first() {
            p.bad {
                (GuestText(&finding.text))
                @if report.findings.len() > 1 {
                    " " a href="#findings" { (report.findings.len()) " findings" }
                }
            }
        }
    }
}

fn cpus(report: &Report) -> Markup {
    let mut cpus: Vec<_> = report.cpus.iter().collect();
    cpus.sort_by_key(|cpu| cpu.state != CpuState::Panicked);
    html! {
        @if !cpus.is_empty() {
            h2 { "CPUs" }
            (pictures::cpus(&report.cpus))
            p {
                button id="open-all" { "Open all stacks" }
                " "
                button id="close-all" { "Close all" }
            }
            @for cpu in cpus {
                (parts::cpu(cpu))
            }
        }
    }
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
mod tests;
