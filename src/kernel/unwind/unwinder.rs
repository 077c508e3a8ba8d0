//! The unwinder of one kernel, and what it keeps between stacks.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use vmcore_formats::addr::VirtAddr;

use super::guest::Guest;
use super::method::Callers;
use super::stack_frame::{StackEnd, StackFrame, Trust};
use super::step::{Failure, Position};
use super::walk::{Walked, walk};
use crate::kernel::modules::RangeKind;
use crate::kernel::{CodeAddress, Kernel, SymbolisedAddress};

/// The most sentences on one stack.
const MAX_FINDINGS: usize = 8;

/// The most addresses whose names are kept. All tasks of a guest have some thousands.
const MAX_SYMBOLS: usize = 1 << 15;

/// A stack that was unwound, with names.
#[derive(Debug)]
pub(crate) struct Unwound {
    /// The functions, the one that ran first.
    pub(crate) frames: Vec<StackFrame>,
    /// Where it ended.
    pub(crate) end: StackEnd,
    /// What is missing or doubtful, as sentences.
    pub(crate) findings: Vec<String>,
}

/// How a kernel's stacks are unwound. Each address gets its name once.
pub(crate) struct Unwinder {
    callers: Box<dyn Callers>,
    findings: Vec<String>,
    symbols: Mutex<HashMap<CodeAddress, Option<SymbolisedAddress>>>,
}

impl fmt::Debug for Unwinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unwinder").field("callers", &self.callers).finish_non_exhaustive()
    }
}

impl Unwinder {
    /// The unwinder of a kernel.
    pub(crate) fn of(kernel: &Kernel) -> Self {
        let mut findings = Vec::new();
        if let Err(error) = kernel.symbols() {
            findings.push(format!("functions have no names: {error}"));
        }
        let callers = kernel.arch.callers(kernel, &mut findings);
        Self { callers, findings, symbols: Mutex::default() }
    }

    /// An address without its pointer authentication code.
    pub(crate) fn strip(&self, address: u64) -> u64 {
        self.callers.strip(address)
    }

    /// Unwinds a stack from where it was left.
    pub(crate) fn unwind(&self, kernel: &Kernel, start: Position) -> Unwound {
        let stack = Stack { kernel, pages: RefCell::default() };
        let method = self.callers.method(kernel);
        let Walked { mut frames, end, breaks } = walk(&stack, &*method, start);
        for frame in &mut frames {
            frame.symbol = self.symbol(kernel, frame.address);
        }
        let mut findings = self.findings.clone();
        findings.extend(breaks.iter().take(MAX_FINDINGS).map(|at| described(&frames, at)));
        if let Some(more) = breaks.len().checked_sub(MAX_FINDINGS).filter(|more| *more > 0) {
            findings.push(format!("and {more} more breaks like these"));
        }
        Unwound { frames, end, findings }
    }

    fn symbol(&self, kernel: &Kernel, address: CodeAddress) -> Option<SymbolisedAddress> {
        let lock = || self.symbols.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&address) {
            return known.clone();
        }
        let found = kernel.resolve(address);
        let mut symbols = lock();
        if symbols.len() >= MAX_SYMBOLS {
            symbols.clear();
        }
        symbols.insert(address, found.clone());
        found
    }
}

/// The finding on a frame whose caller the kernel's own method did not find.
fn described(frames: &[StackFrame], at: &(usize, Failure, Trust)) -> String {
    let (count, failure, trust) = at;
    let last = count.checked_sub(1).and_then(|last| frames.get(last));
    let last = last.map_or_else(String::new, |frame| match &frame.symbol {
        Some(symbol) => symbol.to_string(),
        None => frame.address.address().to_string(),
    });
    let how = match trust {
        Trust::Scan => "a scan, whose addresses may be left over from before",
        _ => "its frame pointer",
    };
    format!("the caller of {last} was found by {how}: {failure}")
}

const PAGE: usize = 4096;
const OFFSET: u64 = 0xfff;
/// How many pages are kept of a stack that is being walked, and of the code of a scan.
const PAGES: usize = 8;

/// A page that was read, if it could be.
type Page = (u64, Option<Box<[u8; PAGE]>>);

/// Memory that one walk reads.
struct Stack<'k> {
    kernel: &'k Kernel,
    /// The pages used last, the last one at the end.
    pages: RefCell<Vec<Page>>,
}

impl Guest for Stack<'_> {
    fn word(&self, at: VirtAddr) -> Option<u64> {
        let (page, offset) = (at.0 & !OFFSET, usize::try_from(at.0 & OFFSET).ok()?);
        let mut pages = self.pages.borrow_mut();
        match pages.iter().position(|(known, _)| *known == page) {
            Some(index) if index.saturating_add(1) == pages.len() => {}
            Some(index) => {
                let known = pages.remove(index);
                pages.push(known);
            }
            None => {
                let mut bytes = Box::new([0; PAGE]);
                let read = self.kernel.space.read(VirtAddr(page), &mut *bytes);
                if pages.len() >= PAGES {
                    pages.remove(0);
                }
                pages.push((page, read.is_ok().then_some(bytes)));
            }
        }
        let bytes = pages.last()?.1.as_ref()?;
        // A word across two pages. No stack has one; a damaged stack pointer may want it.
        let across = || self.kernel.space.read_u64(at).ok();
        self.kernel.space.endian().u64_at(&**bytes, offset).or_else(across)
    }

    fn is_text(&self, at: VirtAddr) -> bool {
        let module = || {
            let module = self.kernel.modules().containing(at)?;
            let range = module.ranges.iter().find(|range| range.contains(at))?;
            Some(matches!(range.kind, RangeKind::Text | RangeKind::InitText | RangeKind::Other))
        };
        self.kernel.is_text(at) || module().unwrap_or(false)
    }

    fn function(&self, at: VirtAddr) -> Option<VirtAddr> {
        let symbol = self.kernel.resolve(CodeAddress::Instruction(at))?;
        Some(at.wrapping_sub(symbol.offset))
    }
}
