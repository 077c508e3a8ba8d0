//! What a crash was.
//!
//! Needs: what [`crate::kernel`] read of a guest, or a log as text ([`console`]). Gives: the
//! crash that a log tells of, named and recognisable ([`crash`]), and the [`report`] that has
//! all there is to say. Prints nothing.

pub mod console;
pub mod crash;
mod known_stacks;
pub mod record;
pub mod report;

pub use known_stacks::KnownStacks;
pub use record::LogRecord;
