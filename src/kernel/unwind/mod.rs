//! Stacks: which functions had called which, and what interrupted them.
//!
//! ```text
//! walk ──► orc ───────────► caller        by the kernel's tables
//!      ├─► frame_pointer ─► caller        x86-64 without them, or where they end
//!      ├─► arm64 ─────────► caller        frame records
//!      └─► scan ──────────► maybe one     what looks like a return address
//! ```
//!
//! Needs: where a stack begins, and a `guest::Guest` to read. Gives: each function,
//! how it was found, and the registers where one was interrupted. Nothing of the stack
//! is trusted: a walk is bounded, and says why it ended.

mod arm64;
mod frame_pointer;
mod ftrace;
mod guest;
mod orc;
mod orc_tables;
mod scan;
mod stack_frame;
pub(super) mod start;
mod step;
#[cfg(test)]
mod synthetic;
mod unwinder;
mod walk;
mod x86_registers;

pub use stack_frame::{EntryRegisters, StackEnd, StackFrame, Trust};
pub(super) use unwinder::Unwinder;
