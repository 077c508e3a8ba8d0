//! The stack of a vCPU or of a task.

use super::unwind::{StackEnd, StackFrame};

/// A stack, from what was running down to where it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backtrace {
    /// The functions, the one that ran first.
    pub frames: Vec<StackFrame>,
    /// Where it ended.
    pub end: StackEnd,
    /// What is missing or doubtful, as sentences.
    pub findings: Vec<String>,
}
