//! Groups of crashes, as a table and as lines of JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::table::{Column, lines};
use crate::printable::shown_up_to;
use crate::render::crash_title::crash_title;
use crate::store::groups::Group;

/// The most guests or kernels in a cell.
const NAMED: usize = 3;
/// The most characters of one of them, and of all of them with their number.
const MAX_NAME: usize = 40;
const MAX_NAMES: usize = NAMED * (MAX_NAME + 1) + 16;
/// The most characters of a signature and of a title.
const MAX_SIGNATURE: usize = 64;
const MAX_TITLE: usize = 240;

/// A group as a line of JSON.
#[derive(Clone, Debug, Serialize)]
pub struct GroupJson<'a> {
    /// The signature; `null` for crashes without one.
    signature: Option<&'a str>,
    /// Whether that is too weak to say that two are the same; `null` if it is unknown.
    weak: Option<bool>,
    /// What happened.
    title: Option<&'a str>,
    /// The number of crashes.
    count: usize,
    /// The time of the first.
    first: Option<Timestamp>,
    /// The time of the last.
    last: Option<Timestamp>,
    /// The guests.
    guests: Vec<&'a str>,
    /// The kernels' releases.
    kernels: Vec<&'a str>,
    /// The entries' ids.
    entries: &'a [String],
    /// How many of them have no core.
    without_core: usize,
    /// How many of their reports are of an older schema or of other families.
    outdated: usize,
    /// What was noted of them: values by their keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, BTreeSet<String>>,
    /// Signatures of groups that may be the same.
    possibly_same: Vec<&'a str>,
}

impl<'a> GroupJson<'a> {
    /// A group of the list `all`.
    pub fn of(group: &'a Group, all: &'a [Group]) -> Self {
        let same = group.possibly_same.iter().filter_map(|index| all.get(*index));
        Self {
            signature: group.signature.as_deref(),
            weak: group.weak,
            title: group.title.as_deref(),
            count: group.entries.len(),
            first: group.first,
            last: group.last,
            guests: group.guests.iter().map(String::as_str).collect(),
            kernels: group.kernels.iter().map(String::as_str).collect(),
            entries: &group.entries,
            without_core: group.without_core,
            outdated: group.outdated,
            annotations: &group.annotations,
            possibly_same: same.filter_map(|group| group.signature.as_deref()).collect(),
        }
    }
}

/// Prints groups of `all`, one a line, each with the groups below it that may be the same.
pub fn table(groups: &[&Group], all: &[Group], out: &mut dyn Write) -> io::Result<()> {
    const COLUMNS: [Column; 7] = [
        Column::number("COUNT"),
        Column::text("FIRST", 24),
        Column::text("LAST", 24),
        Column::text("GUESTS", MAX_NAMES),
        Column::text("KERNELS", MAX_NAMES),
        Column::text("SIGNATURE", MAX_SIGNATURE),
        Column::text("TITLE", MAX_TITLE),
    ];
    if groups.is_empty() {
        return Ok(());
    }
    let zone = TimeZone::system();
    let lines = lines(COLUMNS, groups.iter().map(|group| row(group, &zone)));
    let groups = std::iter::once(None).chain(groups.iter().map(Some));
    for (line, group) in lines.iter().zip(groups) {
        writeln!(out, "{line}")?;
        if let Some(count) = group.map(|group| group.without_core).filter(|count| *count > 0) {
            writeln!(out, "       {count} of them without a core")?;
        }
        if let Some(outdated) = group.map(|group| group.outdated).filter(|count| *count > 0) {
            writeln!(out, "       {outdated} of these reports are outdated")?;
        }
        if let Some(noted) = group.and_then(|group| noted(group)) {
            writeln!(out, "       {noted}")?;
        }
        let same = group.iter().flat_map(|group| &group.possibly_same);
        for other in same.filter_map(|index| all.get(*index)) {
            let signature = other.signature.as_deref().unwrap_or("-");
            let title = &crash_title(other.title.as_deref().unwrap_or("-"));
            let (signature, title) =
                (shown_up_to(signature, MAX_SIGNATURE), shown_up_to(title, MAX_TITLE));
            writeln!(out, "       possibly the same as {signature}  {title}")?;
        }
    }
    Ok(())
}

/// What was noted of a group's entries; `None` if nothing was.
fn noted(group: &Group) -> Option<String> {
    let noted = group.annotations.iter().map(|(key, values)| {
        let values: Vec<_> = values.iter().take(NAMED).map(String::as_str).collect();
        format!("{key}={}", values.join(","))
    });
    let noted: Vec<_> = noted.collect();
    (!noted.is_empty()).then(|| shown_up_to(&noted.join(" "), MAX_TITLE))
}

fn row(group: &Group, zone: &TimeZone) -> [String; 7] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let time = |time: Timestamp| zone.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let signature = group.signature.as_deref().map(|signature| {
        let weak = match group.weak {
            Some(false) => "",
            Some(true) => " (weak)",
            None => " (weak?)",
        };
        format!("{signature}{weak}")
    });
    [
        group.entries.len().to_string(),
        or_dash(group.first.map(time)),
        or_dash(group.last.map(time)),
        few(group.guests.iter()),
        few(group.kernels.iter()),
        or_dash(signature),
        or_dash(group.title.as_deref().map(|title| crash_title(title).into_owned())),
    ]
}

/// The first names, and the number of the others.
fn few<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named: Vec<_> = names.take(NAMED).map(|name| shown_up_to(name, MAX_NAME)).collect();
    match (named.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (_, 0) => named.join(","),
        _ => format!("{},+{more}", named.join(",")),
    }
}
