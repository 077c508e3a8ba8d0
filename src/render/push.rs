//! Entries on their way to object storage, as a table.

use super::table::{Column, lines};

/// The lines of the table: entry, address, state, how much of the core is there, when it is tried
/// again, why it failed last.
pub fn table(rows: impl Iterator<Item = [String; 6]>) -> Vec<String> {
    const COLUMNS: [Column; 6] = [
        Column::text("ENTRY", 160),
        Column::text("TO", 120),
        Column::text("STATE", 8),
        Column::number("SENT"),
        Column::text("NEXT TRY", 24),
        Column::text("LAST ERROR", 240),
    ];
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Vec::new();
    }
    lines(COLUMNS, rows)
}
