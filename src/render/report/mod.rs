//! A report, for people: as text for a terminal, and as one HTML page.
//!
//! Needs: a [`Report`](crate::triage::report::Report). Gives: what it says, in an order in which the answer comes first.
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
