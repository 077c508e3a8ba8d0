//! Stacks: which functions had called which, and what interrupted them.
//!
//! ```text
//! start ──► walk ──► Method::step    the architecture's own: ORC, frame pointers, frame records
//!                └─► Method::guess   else a plausible frame pointer, or
//!                    └─► scan        what looks like a return address
//! ```
//!
//! Needs: where a stack begins, a `guest::Guest` to read, and the architecture's
//! `Method` (`kernel::arch`). Gives: each function, how it was found, and the
//! registers where one was interrupted. Nothing of the stack is trusted: a walk is bounded, and
//! says why it ended.

mod guest;
mod method;
pub(super) mod scan;
mod stack_frame;
pub(super) mod start;
mod step;
#[cfg(test)]
pub(super) mod test_guest;
mod unwinder;
pub(super) mod walk;

pub(super) use guest::Guest;
pub(super) use method::{Callers, Method};
pub use stack_frame::{EntryRegisters, StackEnd, StackFrame, Trust};
pub(super) use start::{VcpuStart, VcpuStartError, register};
pub(super) use step::{Failure, Position, Step};
pub(super) use unwinder::{Unwinder, Unwound};
