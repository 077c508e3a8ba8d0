//! What happened to a guest.
//!
//! Needs: what [`crate::kernel`] reads of a guest, or a log as text ([`log::console`]). Gives: the
//! [`crash`] in a log, with its title, the function to blame and its signature; and the [`report`]
//! of a core. Prints nothing.

mod base32;
mod core_stacks;
pub mod crash;
pub mod log;
pub mod report;

pub use core_stacks::CoreStacks;
