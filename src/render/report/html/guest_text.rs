//! Text of a guest within a page.

use std::fmt::{self, Write};

use maud::{Escaper, Render};

use crate::printable::is_printable;

/// Text without control characters, which no page may have, and without characters that change
/// the direction of writing. maud escapes the rest.
pub(super) struct GuestText<T>(pub(super) T);

impl<T: fmt::Display> Render for GuestText<T> {
    fn render_to(&self, page: &mut String) {
        // Writing to a string does not fail.
        let _ = write!(Printable(Escaper::new(page)), "{}", self.0);
    }
}

/// Replaces the characters that may not be in a page.
struct Printable<'a>(Escaper<'a>);

impl Write for Printable<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // A page shows these two as blanks.
        let unwanted = |c: char| !is_printable(c) && !matches!(c, '\n' | '\t');
        for piece in text.split_inclusive(unwanted) {
            let clean = piece.strip_suffix(unwanted);
            self.0.write_str(clean.unwrap_or(piece))?;
            if clean.is_some() {
                self.0.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}
