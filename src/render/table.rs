//! Tables of text: columns as wide as their longest cell, within bounds.
//!
//! Cells are of guests and of others' files. No width follows from them alone: `format!` panics
//! at widths past 65,535, and one long cell would push all others out of the screen.

use crate::printable::shown_up_to;

/// The side of its column that a cell is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    /// For numbers.
    Right,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) side: Side,
    /// The most characters of a cell. What is longer is cut.
    pub(super) max: usize,
}

impl Column {
    /// A column of text.
    pub(super) const fn text(name: &'static str, max: usize) -> Self {
        Self { name, side: Side::Left, max }
    }

    /// A column of numbers.
    pub(super) const fn number(name: &'static str) -> Self {
        Self { name, side: Side::Right, max: 24 }
    }
}

/// The lines of a table, its head first. Blanks at their ends are left out.
pub(super) fn lines<const N: usize>(
    columns: [Column; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Vec<String> {
    let cut = |row: [String; N]| {
        let mut columns = columns.iter();
        row.map(|cell| shown_up_to(&cell, columns.next().map_or(0, |column| column.max)))
    };
    let mut all = vec![columns.map(|column| column.name.to_owned())];
    all.extend(rows.into_iter().map(cut));
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).zip(columns);
        let cells = cells.map(|((cell, width), column)| padded(cell, width, column.side));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// A cell, at least `width` characters wide. Callers bound the width.
pub(super) fn padded(cell: &str, width: usize, side: Side) -> String {
    let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
    match side {
        Side::Left => [cell, &blanks].concat(),
        Side::Right => [&blanks, cell].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::text("NAME", 8), Column::number("SIZE"), Column::text("TITLE", 100)];

    fn rows(rows: &[[&str; 3]]) -> Vec<String> {
        lines(COLUMNS, rows.iter().map(|row| row.map(str::to_owned)))
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let lines = rows(&[["a", "12", "x"], ["büro", "1234567", ""]]);
        assert_eq!(lines, ["NAME     SIZE  TITLE", "a          12  x", "büro  1234567"]);
    }

    /// `list` panicked for the whole store if one guest's release had 70,000 letters.
    #[test]
    fn no_cell_makes_a_column_wider_than_its_bound() {
        let long = "r".repeat(70_000);
        for row in [[long.as_str(), "1", "x"], ["a", &long, "x"], ["a", "1", &long]] {
            let lines = rows(&[["a", "1", "x"], row]);
            let longest = lines.iter().map(|line| line.chars().count()).max();
            assert!(longest.is_some_and(|length| length <= 8 + 24 + 100 + 4), "{longest:?}");
            assert!(lines[2].contains('…'));
        }
    }

    #[test]
    fn a_cell_is_a_part_of_one_line() {
        let lines = rows(&[["a\x1b[2J", "1", "x\ny\u{2028}z"]]);
        assert_eq!(lines[1], "a\u{fffd}[2J     1  x\u{fffd}y\u{fffd}z");
    }
}
