//! Addresses of code, and the functions that they are in.

use std::fmt;

use vmcore_formats::addr::VirtAddr;

/// An address of code, as a stack has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeAddress {
    /// An instruction that was about to run.
    Instruction(VirtAddr),
    /// A return address.
    Return(VirtAddr),
}

impl CodeAddress {
    /// The address itself.
    pub fn address(self) -> VirtAddr {
        match self {
            Self::Instruction(at) | Self::Return(at) => at,
        }
    }

    /// An address within the instruction that ran or called.
    ///
    /// After a noreturn call, the return address already belongs to the next function: a return
    /// address is looked up by the byte before it. All look-ups go through here.
    pub fn lookup(self) -> VirtAddr {
        match self {
            Self::Instruction(at) => at,
            Self::Return(at) => at.wrapping_sub(1),
        }
    }
}

/// A symbol, and how far behind its start an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolisedAddress {
    /// The function's name.
    pub name: String,
    /// How far the address is from its start: of the true address, which for a return
    /// address may be the function's size.
    pub offset: u64,
    /// How long the function is. Zero if that is not known.
    pub size: u64,
    /// The module that it is in, if it is in one.
    pub module: Option<String>,
    /// The build id of the module or the kernel, if it is known.
    pub build_id: Option<String>,
}

impl fmt::Display for SymbolisedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, offset, size, module, .. } = self;
        write!(f, "{name}+{offset:#x}/{size:#x}")?;
        match module {
            Some(module) => write!(f, " [{module}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_address_is_looked_up_by_the_byte_before_it() {
        let at = VirtAddr(0xffff_ffff_8100_0010);
        assert_eq!(CodeAddress::Return(at).lookup(), VirtAddr(0xffff_ffff_8100_000f));
        assert_eq!(CodeAddress::Instruction(at).lookup(), at);
        assert_eq!(CodeAddress::Return(at).address(), at);
    }

    #[test]
    fn an_address_is_printed_as_the_kernel_prints_it() {
        let mut symbol = SymbolisedAddress {
            name: "panic".to_owned(),
            offset: 0x1a4,
            size: 0x370,
            module: None,
            build_id: None,
        };
        assert_eq!(symbol.to_string(), "panic+0x1a4/0x370");
        symbol.module = Some("pvpanic".to_owned());
        assert_eq!(symbol.to_string(), "panic+0x1a4/0x370 [pvpanic]");
    }
}
