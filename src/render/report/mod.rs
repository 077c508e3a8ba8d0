//! A report, for people: as text for a terminal, and as one HTML page.
//!
//! Needs: a [`Report`]. Gives: what it says, in an order in which the answer comes first.
//! All text in it may be the guest's: no terminal and no browser is to obey it.

pub mod html;
mod html_parts;
mod html_pictures;
mod lines;
pub mod paint;
pub mod text;
mod text_parts;

#[cfg(test)]
mod sample;

use crate::triage::report::data::Report;

/// A report as JSON, as it stands in `report.json`.
#[must_use]
pub fn json(report: &Report) -> Vec<u8> {
    // A value made of strings, numbers and lists cannot fail to serialise.
    let mut json = serde_json::to_vec_pretty(report).unwrap_or_default();
    json.push(b'\n');
    json
}
