//! The kernel's symbols at the addresses that it was linked to.
//!
//! ```text
//! in the image (_text .. _end)   address - KASLR's offset
//! elsewhere                      as it is: per-CPU variables before Linux 6.15, constants
//! ```
//!
//! A vmlinux has link-time addresses, and debuggers add the offset that VMCOREINFO has. A symbol
//! whose name a terminal would obey is left out.

use std::ops::Range;

use vmcore_formats::addr::VirtAddr;

use super::dwarf::Function;
use crate::kernel::symbols::ModuleSymbol;
use crate::kernel::{Kernel, Symbols};

/// The most bytes of names. Those of a kernel take 4 MB.
const MAX_NAMES: usize = 64 << 20;

/// A symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkedSymbol {
    /// Its link-time address.
    pub(super) at: u64,
    /// Its type, as `nm` writes it.
    pub(super) letter: u8,
    /// Where its name is among the names, and how long it is.
    pub(super) name: u32,
    length: u16,
}

/// All symbols, by ascending address.
#[derive(Debug)]
pub(super) struct Linked {
    /// The symbols.
    pub(super) symbols: Vec<LinkedSymbol>,
    /// Their names, each with its NUL, as `.strtab` has them. One may be the end of another.
    pub(super) names: Vec<u8>,
    /// What is subtracted from addresses in the image.
    pub(super) offset: u64,
    /// How many were left out.
    pub(super) left_out: u32,
    image: Range<u64>,
}

impl Linked {
    pub(super) fn of(kernel: &Kernel, symbols: &Symbols) -> Self {
        let offset = kernel.info.kernel_offset().unwrap_or_default();
        let first = symbols.address_of("_text").or_else(|| symbols.address_of("_stext"));
        let last = symbols.address_of("_end").unwrap_or(VirtAddr(u64::MAX));
        let image = first.unwrap_or(VirtAddr(u64::MAX)).0..last.0;
        let mut linked = Self {
            symbols: Vec::new(),
            names: vec![0],
            offset,
            left_out: 0,
            image: image.start.wrapping_sub(offset)..image.end.wrapping_sub(offset),
        };
        for (at, letter, name) in symbols.iter() {
            let inside = at.0 >= image.start && at.0 <= image.end;
            let at = if inside { at.0.wrapping_sub(offset) } else { at.0 };
            linked.add(at, letter, name.as_bytes());
        }
        linked.symbols.sort_by_key(|symbol| symbol.at);
        linked
    }

    /// The symbols of a module, at the addresses that they have.
    pub(super) fn of_module(symbols: &[ModuleSymbol]) -> Self {
        let image = 0..u64::MAX;
        let mut linked =
            Self { symbols: Vec::new(), names: vec![0], offset: 0, left_out: 0, image };
        for symbol in symbols {
            linked.add(symbol.at.0, symbol.letter, &symbol.name);
        }
        linked
    }

    /// The functions in these ranges of code. `sizes` are those of the symbols.
    pub(super) fn functions<'a>(
        &'a self,
        sizes: &'a [u64],
        code: &'a [Range<u64>],
    ) -> impl Iterator<Item = Function<'a>> {
        self.symbols.iter().zip(sizes).filter_map(|(symbol, size)| {
            let range = code.iter().find(|range| range.contains(&symbol.at))?;
            Some(Function {
                name: self.name(symbol),
                at: symbol.at,
                size: (*size).min(range.end.saturating_sub(symbol.at)),
                global: symbol.letter.is_ascii_uppercase(),
            })
        })
    }

    fn add(&mut self, at: u64, letter: u8, name: &[u8]) {
        let start = u32::try_from(self.names.len()).unwrap_or_default();
        let length = u16::try_from(name.len()).unwrap_or_default();
        let harmless = name.iter().all(u8::is_ascii_graphic) && length > 0;
        if !harmless || self.names.len() > MAX_NAMES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        // The padding in front of a function has its name, too.
        if let Some(start) = self.end_of_last(name) {
            self.symbols.push(LinkedSymbol { at, letter, name: start, length });
            return;
        }
        self.names.extend_from_slice(name);
        self.names.push(0);
        self.symbols.push(LinkedSymbol { at, letter, name: start, length });
    }

    /// Where a name is, if the name that was added last ends with it: `__pfx_f` and `f`.
    fn end_of_last(&self, name: &[u8]) -> Option<u32> {
        const PADDING: &[u8] = b"\0__pfx_";
        let start = self.names.len().checked_sub(name.len().checked_add(1)?)?;
        let before = self.names.get(..start)?;
        let same = self.names.get(start..)?.strip_suffix(b"\0")? == name;
        (same && before.ends_with(PADDING)).then(|| u32::try_from(start).ok()).flatten()
    }

    /// A symbol's name.
    pub(super) fn name(&self, symbol: &LinkedSymbol) -> &[u8] {
        let start = usize::try_from(symbol.name).unwrap_or(usize::MAX);
        let end = start.saturating_add(symbol.length.into());
        self.names.get(start..end).unwrap_or_default()
    }

    /// How many bytes there are from each symbol to the next one at a higher address, in order.
    pub(super) fn sizes(&self) -> Vec<u64> {
        let mut sizes = vec![0; self.symbols.len()];
        let mut next = None;
        let mut above = None;
        for (symbol, size) in self.symbols.iter().zip(&mut sizes).rev() {
            if next != Some(symbol.at) {
                (above, next) = (next, Some(symbol.at));
            }
            *size = above.map_or(0, |above: u64| above.saturating_sub(symbol.at));
        }
        sizes
    }

    /// Whether an address is in the image.
    pub(super) fn in_image(&self, at: u64) -> bool {
        self.image.contains(&at)
    }

    /// The link-time address of a symbol.
    pub(super) fn address(&self, kernel: &Kernel, name: &str) -> Option<u64> {
        let at = kernel.symbol(name)?.0;
        let linked = at.wrapping_sub(self.offset);
        Some(if self.image.contains(&linked) || linked == self.image.end { linked } else { at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_the_end_of_the_one_before_takes_no_room() {
        let symbol = |at, name: &[u8]| ModuleSymbol {
            at: VirtAddr(at),
            size: 0,
            letter: b't',
            name: name.to_vec(),
        };
        let all = [
            symbol(1, b"__pfx_open"),
            symbol(2, b"open"),
            symbol(3, b"reopen"),
            symbol(4, b"open"),
        ];
        let linked = Linked::of_module(&all);
        let names: Vec<_> = linked.symbols.iter().map(|one| linked.name(one).to_vec()).collect();
        assert_eq!(names, all.map(|one| one.name));
        assert_eq!(linked.names, b"\0__pfx_open\0reopen\0open\0");
    }
}
