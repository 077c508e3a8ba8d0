//! Stacks: which functions had called which, and what interrupted them.

mod stack_frame;

pub use stack_frame::{EntryRegisters, StackEnd, StackFrame, Trust};
