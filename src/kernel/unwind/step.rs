//! From a stack frame to its caller: the input and output of every unwinding method.

use std::fmt;

use vmcore_formats::addr::VirtAddr;

use super::stack_frame::{EntryRegisters, StackEnd, Trust};
use crate::kernel::CodeAddress;

/// The registers that unwinding goes by, as they were in one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Where in its code it was.
    pub(crate) address: CodeAddress,
    /// The stack pointer, if it is known.
    pub(crate) sp: Option<VirtAddr>,
    /// The frame pointer.
    pub(crate) fp: u64,
    /// From where on the stack has not been unwound: the stack pointer, or what is known
    /// to be above it.
    pub(crate) rest: Option<VirtAddr>,
    /// All registers, if they are known: where a vCPU is, and where code was interrupted.
    pub(crate) registers: Vec<(&'static str, u64)>,
}

impl Position {
    /// A register by its name, where all are known.
    pub(crate) fn register(&self, name: &str) -> Option<u64> {
        self.registers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Whether the function was about to run an instruction, and had not called.
    pub(crate) fn interrupted(&self) -> bool {
        matches!(self.address, CodeAddress::Instruction(_))
    }
}

/// The caller of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another one.
    Next {
        /// Where that was.
        position: Position,
        /// How it was found.
        trust: Trust,
        /// What was saved, if it was interrupted.
        entry: Option<Box<EntryRegisters>>,
    },
    /// Nothing.
    End {
        /// What ends the stack.
        end: StackEnd,
        /// What was saved of user code.
        entry: Option<Box<EntryRegisters>>,
    },
}

/// Why the next frame is not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The tables have no entry for this code.
    NoEntry,
    /// The value of the entry's base register is not known.
    NoBase,
    /// A word cannot be read.
    Missing(VirtAddr),
    /// What should be a return address is not in code.
    NotCode {
        /// Where.
        at: VirtAddr,
        /// What is there.
        found: u64,
    },
    /// There are no plausible saved registers.
    NoRegisters(VirtAddr),
    /// A stack pointer that is not valid.
    StackPointer(u64),
    /// A frame pointer that is not valid.
    FramePointer(u64),
    /// The stack would grow, or the walk came back to a frame.
    NoProgress,
    /// Nothing more was found.
    Nothing,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntry => f.write_str("the kernel's ORC tables have no entry for that code"),
            Self::NoBase => {
                f.write_str("the ORC entry there is based on a register whose value is not known")
            }
            Self::Missing(at) => write!(f, "the stack at {at} cannot be read"),
            Self::NotCode { at, found } => {
                write!(f, "{found:#x} at {at} should be a return address, and is not in code")
            }
            Self::NoRegisters(at) => {
                write!(f, "there are no plausible saved registers at {at}")
            }
            Self::StackPointer(sp) => write!(f, "the stack pointer {sp:#x} is not valid"),
            Self::FramePointer(fp) => write!(f, "the frame pointer {fp:#x} is not valid"),
            Self::NoProgress => f.write_str("the walk came back to a frame that it has seen"),
            Self::Nothing => f.write_str("there are no more return addresses on it"),
        }
    }
}
