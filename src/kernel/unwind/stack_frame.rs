//! What a stack is made of, once it is unwound.

use std::fmt;

use vmcore_formats::addr::VirtAddr;

use crate::kernel::symbolised_address::{CodeAddress, SymbolisedAddress};

/// A function that was running, or had called what was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrame {
    /// Where in its code it was.
    pub address: CodeAddress,
    /// Where the stack pointer was in it, if that is known.
    pub sp: Option<VirtAddr>,
    /// The function, if its name is known.
    pub symbol: Option<SymbolisedAddress>,
    /// How it was found.
    pub trust: Trust,
    /// If this function is where an exception, an interrupt or a system call entered the
    /// kernel: the registers that were saved there. The next stack frame is what they say
    /// was interrupted; there is none if that was user code.
    pub entry: Option<Box<EntryRegisters>>,
}

/// How a stack frame was found, from the surest way to the least sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Registers of a vCPU, or saved by an exception, say it.
    Registers,
    /// The kernel's ORC tables say where the return address is.
    Orc,
    /// A chain of frame pointers leads to it.
    FramePointer,
    /// An address of code that was found on the stack. It may be left over from before.
    Scan,
}

impl Trust {
    /// Its name, without a mark of doubt.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Orc => "orc",
            Self::FramePointer => "frame pointer",
            Self::Scan => "scan",
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doubt = if *self == Self::Scan { "?" } else { "" };
        write!(f, "{}{doubt}", self.name())
    }
}

/// Registers that an exception, an interrupt or a system call saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRegisters {
    /// Where they are on the stack.
    pub at: VirtAddr,
    /// Whether user code was interrupted.
    pub from_user: bool,
    /// Their names, and what is in them.
    pub registers: Vec<(&'static str, u64)>,
}

impl EntryRegisters {
    /// A register by its name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.registers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The instruction that was interrupted.
    pub fn instruction(&self) -> Option<VirtAddr> {
        self.get("rip").or_else(|| self.get("pc")).map(VirtAddr)
    }
}

/// Where a stack ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackEnd {
    /// At user code: what was called by it has been seen in whole.
    UserMode,
    /// Where the kernel marked its end: a kernel thread's first function, an idle task's.
    Bottom,
    /// Before its end, for this reason.
    Cut(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_less_sure_compares_greater_and_says_so() {
        assert!(Trust::Registers < Trust::Orc && Trust::FramePointer < Trust::Scan);
        assert_eq!(Trust::Scan.to_string(), "scan?");
        assert_eq!(Trust::FramePointer.to_string(), "frame pointer");
    }

    #[test]
    fn the_interrupted_instruction_is_found_under_each_architectures_name() {
        let saved = |name| EntryRegisters {
            at: VirtAddr(0),
            from_user: false,
            registers: vec![("sp", 1), (name, 7)],
        };
        assert_eq!(saved("rip").instruction(), Some(VirtAddr(7)));
        assert_eq!(saved("pc").instruction(), Some(VirtAddr(7)));
        assert_eq!(saved("lr").instruction(), None);
    }
}
