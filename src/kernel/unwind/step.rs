//! From a function to its caller: what every way of unwinding takes, and gives.

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

/// What is below a function.
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

/// Why a way of unwinding does not lead on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The tables say nothing of this code.
    NoEntry,
    /// What the tables want to count from is not known.
    NoBase,
    /// A word cannot be read.
    Missing(VirtAddr),
    /// Where a return address should be is none.
    NotCode {
        /// Where.
        at: VirtAddr,
        /// What is there.
        found: u64,
    },
    /// Registers should be there, and what is there is none.
    NoRegisters(VirtAddr),
    /// A stack pointer that cannot be one.
    StackPointer(u64),
    /// A frame pointer that cannot be one.
    FramePointer(u64),
    /// The stack would grow, or come back to where it was.
    NoProgress,
    /// Nothing more was found.
    Nothing,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntry => f.write_str("the kernel's ORC tables say nothing of that code"),
            Self::NoBase => {
                f.write_str("the kernel's ORC tables go by a register there that is not known")
            }
            Self::Missing(at) => write!(f, "the stack at {at} cannot be read"),
            Self::NotCode { at, found } => {
                write!(f, "{found:#x} at {at} should be a return address, and is no code")
            }
            Self::NoRegisters(at) => {
                write!(f, "registers should be saved at {at}, and what is there is none")
            }
            Self::StackPointer(sp) => write!(f, "the stack pointer {sp:#x} cannot be one"),
            Self::FramePointer(fp) => write!(f, "the frame pointer {fp:#x} cannot be one"),
            Self::NoProgress => f.write_str("it leads back to where it was"),
            Self::Nothing => f.write_str("no more addresses of code are on it"),
        }
    }
}
