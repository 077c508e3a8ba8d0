//! The store as a table, and as lines of JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::table::{Column, lines};
use crate::printable::shown_up_to;
use crate::render::crash_title::crash_title;
use crate::store::listing::{EntryState, Listed};
use crate::store::report_head::ReportVersion;
use crate::units::{bytes, seconds};

/// The most characters of a guest's name or a release, of an id and of a title in the table.
const MAX_NAME: usize = 64;
const MAX_ID: usize = 80;
const MAX_TITLE: usize = 240;
/// The same of a note.
const MAX_NOTE: usize = 120;

/// An entry as a line of JSON. What is not known is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct EntryJson {
    /// The entry's id.
    pub id: String,
    /// When its capture began.
    pub time: Option<Timestamp>,
    /// The guest.
    pub guest: String,
    /// Release of the guest's kernel.
    pub kernel: Option<String>,
    /// What happened, in one line.
    pub title: Option<String>,
    /// The same for the same crash.
    pub signature: Option<String>,
    /// Whether the report is of an older schema or of other families; `null` if there is none,
    /// or if it does not say.
    pub report_outdated: Option<bool>,
    /// Length of the core's file.
    pub core_bytes: Option<u64>,
    /// The guest's memory.
    pub memory_bytes: Option<u64>,
    /// How long the guest was held.
    pub held_seconds: Option<f64>,
    /// What became of the capture.
    pub state: EntryState,
    /// Whether it is pinned.
    pub pinned: bool,
    /// What was noted of it when it was captured.
    pub note: Option<String>,
    /// What was noted of it since.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its directory.
    pub path: String,
}

impl EntryJson {
    /// An entry of the store.
    pub fn of(entry: &Listed, current: &ReportVersion<'_>) -> Self {
        let metadata = entry.metadata.as_ref();
        let report = entry.report.clone();
        Self {
            id: entry.id.clone(),
            time: entry.time,
            guest: entry.guest(),
            kernel: entry.kernel().map(str::to_owned),
            title: report.as_ref().and_then(|report| report.title.clone()),
            report_outdated: report.as_ref().and_then(|report| report.is_outdated(current)),
            signature: report.and_then(|report| report.signature),
            core_bytes: entry.core_bytes,
            memory_bytes: metadata.and_then(|metadata| metadata.memory_bytes),
            held_seconds: metadata.and_then(|metadata| metadata.held_seconds),
            state: entry.state,
            pinned: entry.pinned,
            note: metadata.and_then(|metadata| metadata.note.clone()),
            annotations: owned(entry.annotations.values()),
            path: entry.folder.display().to_string(),
        }
    }
}

/// Prints the entries, one a line, with their notes if any has one, in this machine's time zone.
pub fn table(
    entries: &[Listed],
    current: &ReportVersion<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    const COLUMNS: [Column; 8] = [
        Column::text("TIME", 24),
        Column::text("GUEST", MAX_NAME),
        Column::text("KERNEL", MAX_NAME),
        Column::number("SIZE"),
        Column::number("HELD"),
        Column::text("STATE", 24),
        Column::text("ID", MAX_ID),
        Column::text("TITLE", MAX_TITLE),
    ];
    if entries.is_empty() {
        return Ok(());
    }
    let zone = TimeZone::system();
    let rows = entries.iter().map(|entry| EntryJson::of(entry, current));
    let noted = |entry: &Listed| {
        entry.metadata.as_ref().is_some_and(|head| head.note.is_some())
            || !entry.annotations.values().is_empty()
    };
    let lines = if entries.iter().any(noted) {
        let [time, guest, kernel, size, held, state, id, title] = COLUMNS;
        let note = Column::text("NOTE", MAX_NOTE);
        let rows = rows.map(|line| {
            let [time, guest, kernel, size, held, state, id, title] = row(&line, &zone);
            [time, guest, kernel, size, held, state, id, title, note_of(line)]
        });
        lines([time, guest, kernel, size, held, state, id, title, note], rows)
    } else {
        lines(COLUMNS, rows.map(|line| row(&line, &zone)))
    };
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn owned(values: BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    values.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The note, and what was noted since.
fn note_of(line: EntryJson) -> String {
    let since = line.annotations.iter().map(|(key, value)| format!("{key}={value}"));
    line.note.into_iter().chain(since).collect::<Vec<_>>().join(" ")
}

fn row(line: &EntryJson, zone: &TimeZone) -> [String; 8] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let time = |time: Timestamp| zone.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S").to_string();
    [
        or_dash(line.time.map(time)),
        line.guest.clone(),
        or_dash(line.kernel.clone()),
        or_dash(line.core_bytes.map(bytes)),
        or_dash(line.held_seconds.map(seconds)),
        [line.state.name(), if line.pinned { ", pinned" } else { "" }].concat(),
        line.id.clone(),
        title(line),
    ]
}

fn title(line: &EntryJson) -> String {
    const OUTDATED: &str = " (outdated)";
    let title = &crash_title(line.title.as_deref().unwrap_or("-"));
    match line.report_outdated {
        Some(true) => shown_up_to(title, MAX_TITLE.saturating_sub(OUTDATED.len())) + OUTDATED,
        _ => title.to_string(),
    }
}
