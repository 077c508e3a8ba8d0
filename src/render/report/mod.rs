//! A report, for people: as text for a terminal, and as one HTML page.
//!
//! Needs: a [`Report`](crate::triage::report::Report). Gives: its parts, the answer first. All text
//! in it may be the guest's, so control characters and markup are replaced or escaped.

pub mod html;
mod lines;
pub mod paint;
pub mod text;
mod text_parts;

#[cfg(test)]
mod sample;
