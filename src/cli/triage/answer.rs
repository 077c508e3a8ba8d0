//! The line of a crash: `vmcorectl/triage/1`, as `samples/triage.schema.json` describes it.

use serde::Serialize;

use crate::printable::json;
use crate::tables::Row;

/// The schema that this version writes.
const SCHEMA: &str = "vmcorectl/triage/1";

/// A line. It says nothing of when and where it was made: the same input gives the same line.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    schema: &'static str,
    id: String,
    entry: String,
    /// What the report was made of.
    input: String,
    /// The program that made it, and its version.
    tool: &'static str,
    /// Why there is no report.
    problem: Option<String>,
    /// The row of the crash, with what the report says; without one, with what is stored.
    row: Option<Row>,
}

impl Answer {
    pub(super) fn new(
        entry: &str,
        id: &str,
        input: &str,
        problem: Option<String>,
        row: Option<Row>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            id: id.to_owned(),
            entry: entry.to_owned(),
            input: input.to_owned(),
            tool: concat!("vmcorectl ", env!("CARGO_PKG_VERSION")),
            problem,
            row,
        }
    }

    /// Whether it has a report.
    pub(super) fn is_report(&self) -> bool {
        self.problem.is_none()
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // A value made of strings, numbers and lists cannot fail to serialise.
        let _ = json::line(self, &mut text);
        text
    }
}
