//! A capture's metadata, for people.
//!
//! ```text
//! web-3  20261123T210512Z-5f0a3c11  complete
//!   guest     x86_64, 2 vCPUs, 512.00 MiB, QEMU 7.2.22 (pc-i440fx-7.2)
//!   panic     noticed by query at 2026-11-23T21:05:12Z
//!   release   resume: guest-panicked -> running, held 612.4 ms
//!   core      77.10 MiB for 512.63 MiB (15.0 %), 513 chunks, VMCOREINFO, 2 vCPUs
//! ```

use std::io::{self, Write};
use std::path::Path;

use vmcore_formats::page_class::left_out::PAGE;

use crate::metadata::{
    CaptureResult, ClassBytes, Core, Guest, Imported, Metadata, NoticedBy, Panic, Release,
};
use crate::printable::shown;
use crate::render::crash_title::crash_title;
use crate::units::{bytes, percent, seconds};
use crate::vmcore::summary::Summary;

/// Prints metadata as a short text, with the findings about the file if there is a core.
pub fn text(metadata: &Metadata, summary: Option<&Summary>, out: &mut dyn Write) -> io::Result<()> {
    let guest = metadata.guest.name.as_deref().unwrap_or("unnamed");
    let result = match metadata.result {
        _ if metadata.core_left_out.is_some() => "no core",
        CaptureResult::Complete => "complete",
        CaptureResult::Incomplete => "incomplete",
        CaptureResult::Capturing => "not ended",
    };
    writeln!(out, "{}  {}  {result}", shown(guest), shown(&metadata.id))?;
    let mut line = |name: &str, text: String| writeln!(out, "  {name:<9} {}", shown(&text));
    if let Some(title) = metadata.title.as_deref().filter(|_| summary.is_none()) {
        line("title", crash_title(title).into_owned())?;
    }
    if let Some(note) = &metadata.note {
        line("note", note.clone())?;
    }
    if let Some(left_out) = &metadata.core_left_out {
        line("core", left_out.to_string())?;
    }
    // An imported file has no capture to describe.
    let encrypted = metadata.encrypted.as_ref();
    let captured = metadata.imported.is_none() || !metadata.phases.is_empty();
    let captured = captured && encrypted.is_none();
    if let Some(imported) = &metadata.imported {
        line("imported", imported_line(imported))?;
    }
    if captured {
        line("guest", guest_line(&metadata.guest))?;
        line("panic", panic_line(metadata))?;
    }
    if let Some(encrypted) = encrypted {
        let memory = metadata.guest.memory_bytes.map_or_else(|| "memory unknown".to_owned(), bytes);
        let architecture = or_unknown(metadata.guest.architecture.as_deref());
        line("guest", format!("{architecture}, {memory}"))?;
        line("panic", panic_line(metadata))?;
        for key in &encrypted.to {
            line("encrypted", format!("to {} {}", key.kind, key.fingerprint))?;
        }
    }
    if let Some(release) = &metadata.release {
        line("release", release_line(release, metadata.held_seconds))?;
    }
    if let Some(core) = &metadata.core {
        line("core", core_line(core))?;
        line("memory", memory_line(core))?;
    }
    if captured {
        let phases: Vec<_> = metadata
            .phases
            .iter()
            .map(|phase| format!("{} {}", phase.name, seconds(phase.seconds)))
            .collect();
        line("steps", phases.join(", "))?;
        line(
            "host",
            format!("{}, {}", or_unknown(metadata.host.name.as_deref()), metadata.started),
        )?;
    }
    if let Some(failure) = &metadata.failure {
        line("failure", format!("{}: {}", failure.stage, failure.message))?;
    }
    for warning in &metadata.warnings {
        line("warning", warning.clone())?;
    }
    summary.map_or(Ok(()), |summary| kernel_and_findings(summary, out))
}

/// Prints the summary of a core without metadata.
pub fn bare(path: &Path, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}  without metadata", shown(&path.display().to_string()))?;
    let packed = if summary.chunked { " in zstd chunks" } else { "" };
    let machine = or_unknown(summary.machine);
    writeln!(
        out,
        "  {:<9} {}{packed}, {}-bit, {machine}",
        "format", summary.format, summary.elf_class
    )?;
    writeln!(
        out,
        "  {:<9} {} for {} of memory",
        "core",
        bytes(summary.file_bytes),
        bytes(summary.memory_bytes)
    )?;
    const SHOWN: usize = 16;
    for range in summary.memory.iter().take(SHOWN) {
        let end = range.start.saturating_add(range.length);
        writeln!(
            out,
            "  {:<9} {:#014x}..{end:#014x}  {}",
            "memory",
            range.start,
            bytes(range.length)
        )?;
    }
    if let Some(more) = summary.memory.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(out, "  {:<9} and {more} more ranges", "memory")?;
    }
    let notes: Vec<_> = summary.notes.iter().map(|name| shown(name)).collect();
    writeln!(out, "  {:<9} registers of {} vCPUs; {}", "notes", summary.cpus, notes.join(", "))?;
    kernel_and_findings(summary, out)
}

fn kernel_and_findings(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    if !summary.left_out.is_empty() {
        writeln!(out, "  {:<9} {}", "left out", left_out_line(&summary.left_out))?;
    }
    if let Some(release) = &summary.release {
        let id = summary.build_id.as_ref().map(|id| format!(", build id {id}")).unwrap_or_default();
        writeln!(out, "  {:<9} {}", "kernel", shown(&format!("Linux {release}{id}")))?;
    }
    for finding in &summary.findings {
        writeln!(out, "  {:<9} {}", "finding", shown(finding))?;
    }
    Ok(())
}

fn guest_line(guest: &Guest) -> String {
    format!(
        "{}, {} vCPUs, {}, QEMU {} ({})",
        or_unknown(guest.architecture.as_deref()),
        guest.cpus.map_or_else(|| "unknown".to_owned(), |cpus| cpus.to_string()),
        guest.memory_bytes.map_or_else(|| "memory unknown".to_owned(), bytes),
        or_unknown(guest.qemu_version.as_deref()),
        or_unknown(guest.machine.as_deref()),
    )
}

fn panic_line(metadata: &Metadata) -> String {
    let Some(panic) = &metadata.panic else {
        return format!("none; the guest was {}", or_unknown(metadata.state_found.as_deref()));
    };
    let Panic { noticed_by, noticed, happened, info, reporting_cpus, .. } = panic;
    let mut text = match (noticed_by, happened) {
        (NoticedBy::Event, Some(happened)) => format!("noticed by event, happened {happened}"),
        (NoticedBy::Event, None) => format!("noticed by event at {noticed}"),
        (NoticedBy::Query, _) => format!("noticed by query at {noticed}"),
    };
    if let Some(cpus) = reporting_cpus.as_ref().filter(|cpus| !cpus.is_empty()) {
        let cpus: Vec<_> = cpus.iter().map(u32::to_string).collect();
        text.push_str(&format!(", reported by vCPU {}", cpus.join(", ")));
    }
    if let Some(info) = info {
        text.push_str(&format!(", {info}"));
    }
    shown(&text)
}

fn release_line(release: &Release, held: Option<f64>) -> String {
    let state =
        |state: &Option<String>| state.clone().unwrap_or_else(|| "QEMU has ended".to_owned());
    let mut text = format!("{}: ", release.action);
    if let (false, Some(error)) = (release.done, &release.error) {
        text.push_str(error);
    } else {
        text.push_str(&format!(
            "{} -> {}",
            state(&release.state_before),
            state(&release.state_after)
        ));
    }
    if let Some(held) = held {
        text.push_str(&format!(", held {}", seconds(held)));
    }
    shown(&text)
}

fn core_line(core: &Core) -> String {
    format!(
        "{} for {} ({}), {} chunks",
        bytes(core.bytes_written),
        bytes(core.bytes_core),
        percent(core.bytes_written, core.bytes_core),
        core.chunks,
    )
}

fn memory_line(core: &Core) -> String {
    let mut text = format!("{} in chunks of zeros", bytes(core.zero_bytes));
    if let Some(segments) = core.segments {
        text.push_str(&format!(", {segments} segments"));
    }
    if let Some(cpus) = core.cpus {
        text.push_str(&format!(", registers of {cpus} vCPUs"));
    }
    match core.vmcoreinfo {
        Some(true) => text.push_str(", VMCOREINFO"),
        Some(false) => text.push_str(", no VMCOREINFO"),
        None => {}
    }
    text
}

fn left_out_line(classes: &[ClassBytes]) -> String {
    let one = |part: &ClassBytes| {
        format!("{} {} ({} pages)", shown(&part.class), bytes(part.bytes), part.bytes / PAGE)
    };
    classes.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn imported_line(imported: &Imported) -> String {
    let mut text = format!(
        "{}, {} of {}, {}",
        imported.file,
        imported.format,
        bytes(imported.bytes),
        imported.at
    );
    if imported.vmcoreinfo_found {
        text.push_str(", VMCOREINFO found in its memory");
    }
    shown(&text)
}

fn or_unknown(text: Option<&str>) -> String {
    shown(text.unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_the_metadata_is_obeyed_by_a_terminal() {
        let escape = "\u{1b}[2J";
        let metadata = serde_json::from_value(json!({
            "schema": "vmcorectl/metadata/1", "id": escape, "note": escape, "title": escape,
            "core_left_out": { "cause": "report-only", "reason": escape },
            "tool": { "name": escape, "version": escape },
            "host": { "name": escape, "kernel": null, "architecture": null },
            "guest": { "monitor": escape, "name": escape },
            "state_found": escape, "panic": null,
            "request": {
                "then": escape, "on_failure": escape, "max_hold_seconds": null,
                "any_state": true, "wait": false, "level": 1, "threads": 1,
            },
            "result": "incomplete",
            "failure": { "stage": escape, "message": escape, "qemu_error": null },
            "release": {
                "action": escape, "done": true, "state_before": escape, "state_after": escape,
                "error": null, "qemu_error": null,
            },
            "started": "2026-01-01T00:00:00Z", "held_seconds": null,
            "phases": [{ "name": escape, "seconds": 1.0 }],
            "core": null, "pages_dropped": [], "warnings": [escape],
        }));
        let summary = Summary {
            schema: "vmcorectl/core/1",
            format: escape.to_owned(),
            chunked: false,
            machine: None,
            elf_class: 64,
            file_bytes: 0,
            memory_bytes: 0,
            memory: Vec::new(),
            left_out: Vec::new(),
            cpus: 0,
            notes: vec![escape.to_owned()],
            release: Some(escape.to_owned()),
            build_id: Some(escape.to_owned()),
            findings: vec![escape.to_owned()],
        };
        let mut out = Vec::new();
        text(&metadata.unwrap(), Some(&summary), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("[2J") && !out.contains('\u{1b}'), "{out:?}");
    }
}
