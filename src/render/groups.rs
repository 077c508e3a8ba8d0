//! Groups of crashes, as a table and as lines of JSON.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::shown::shown;
use crate::store::groups::Group;

/// How many guests or kernels are named in a cell.
const NAMED: usize = 3;

/// A group as a line of JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    /// What its crashes have in common; `null` for those without a signature.
    signature: Option<&'a str>,
    /// Whether that is too weak to say that two are the same; `null` if it is unknown.
    weak: Option<bool>,
    /// What happened.
    title: Option<&'a str>,
    /// How often.
    count: usize,
    /// When first.
    first: Option<Timestamp>,
    /// When last.
    last: Option<Timestamp>,
    /// To whom.
    guests: Vec<&'a str>,
    /// On which kernels.
    kernels: Vec<&'a str>,
    /// The entries' ids.
    entries: &'a [String],
    /// How many of their reports are of an older schema or of other families.
    outdated: usize,
    /// Signatures of groups that may be the same.
    possibly_same: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// What is known of a group. `all` is the list that it is in.
    #[must_use]
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
            outdated: group.outdated,
            possibly_same: same.filter_map(|group| group.signature.as_deref()).collect(),
        }
    }
}

/// Prints groups of `all`, one a line, and below each what it may be the same as.
///
/// # Errors
/// Fails if `out` does.
pub fn table(groups: &[&Group], all: &[Group], out: &mut dyn Write) -> io::Result<()> {
    const HEAD: [&str; 7] = ["COUNT", "FIRST", "LAST", "GUESTS", "KERNELS", "SIGNATURE", "TITLE"];
    if groups.is_empty() {
        return Ok(());
    }
    let zone = TimeZone::system();
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(groups.iter().map(|group| row(group, &zone)));
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let groups = std::iter::once(None).chain(groups.iter().map(Some));
    for (row, group) in rows.iter().zip(groups) {
        let cells = row.iter().zip(widths).enumerate().map(|(index, (cell, width))| match index {
            0 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        if let Some(outdated) = group.map(|group| group.outdated).filter(|count| *count > 0) {
            writeln!(out, "       {outdated} of these reports are outdated")?;
        }
        let same = group.iter().flat_map(|group| &group.possibly_same);
        for other in same.filter_map(|index| all.get(*index)) {
            let signature = other.signature.as_deref().unwrap_or("-");
            let title = other.title.as_deref().unwrap_or("-");
            writeln!(out, "       possibly the same as {}  {}", shown(signature), shown(title))?;
        }
    }
    Ok(())
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
        format!("{}{weak}", shown(signature))
    });
    [
        group.entries.len().to_string(),
        or_dash(group.first.map(time)),
        or_dash(group.last.map(time)),
        few(group.guests.iter()),
        few(group.kernels.iter()),
        or_dash(signature),
        or_dash(group.title.as_deref().map(shown)),
    ]
}

/// The first names, and how many there are more.
fn few<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named: Vec<_> = names.take(NAMED).map(|name| shown(name)).collect();
    match (named.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (_, 0) => named.join(","),
        _ => format!("{},+{more}", named.join(",")),
    }
}
