//! What a crash was.
//!
//! Needs: what [`crate::kernel`] read of a guest, or text. Gives: events, titles, signatures,
//! and the [`report`] that has them all. Prints nothing.

pub mod report;
