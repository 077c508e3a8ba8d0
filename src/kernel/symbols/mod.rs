//! The kernel's symbols, out of its memory.
//!
//! ```text
//! VMCOREINFO ──► tables ──► Symbols ──► symbol of an address
//!    where kallsyms is         │
//!                              └──────► addresses of a name
//! ```
//!
//! Needs: the kernel's addresses, and where kallsyms is. Gives: the kernel's own symbols;
//! [`Kernel::resolve`](super::Kernel::resolve) looks in modules, too. Names stay packed until
//! they are asked for, and the index by name is made when the first one is.

mod areas;
mod evidence;
mod search;
mod tables;

pub(super) use areas::Areas;
pub use areas::ModuleSymbol;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::elf::build_id::BuildId;
use vmcore_formats::kallsyms::{Addresses, Mode, NameIndex, Names, TokenError};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::image;
use super::page_tables::{AddressSpace, ReadError};
use super::symbolised_address::SymbolisedAddress;
use evidence::Evidence;
use tables::{Contents, Tables};

/// The size of the last symbol, in bytes, if the end of the kernel is not known.
const LAST_SIZE: u64 = 4096;
/// The longest notes of an image that are read.
const MAX_NOTES: u64 = 64 << 10;

/// The most names whose addresses are kept.
const MAX_LOOKED_UP: usize = 1024;
/// The most names of several symbols that are kept.
const MAX_AMBIGUOUS: usize = 16;

/// Why a kernel's symbols cannot be had.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum SymbolsError {
    /// Neither VMCOREINFO nor a search of the image leads to them.
    #[error("VMCOREINFO does not say where the kernel's symbols are, and its image has none")]
    NotFound,
    /// A part of them is not there.
    #[error("the kernel's symbols cannot be read: {what} is missing: {source}")]
    Missing {
        /// What was to be read.
        what: &'static str,
        /// Why it cannot be.
        source: ReadError,
    },
    /// A number of symbols that no kernel has.
    #[error("a table of {count} symbols: no kernel has such a one")]
    Count {
        /// How many there should be.
        count: u32,
    },
    /// Names that no kernel has.
    #[error("names of symbols of {length:#x} bytes: no kernel has so many")]
    NamesLength {
        /// How long they should be.
        length: u64,
    },
    /// The tokens of names are damaged.
    #[error("the names of the kernel's symbols cannot be read: {0}")]
    Tokens(#[from] TokenError),
    /// There is no table of addresses.
    #[error("there are names of the kernel's symbols, and no addresses")]
    NoAddresses,
    /// No way to store addresses fits.
    #[error(
        "the addresses of the kernel's symbols contradict what is known of {known}: {hits} of them fit"
    )]
    Contradiction {
        /// How many addresses are known.
        known: usize,
        /// How many fit.
        hits: usize,
    },
}

/// The kernel's own symbols.
#[derive(Debug)]
pub struct Symbols {
    names: Names,
    addresses: Addresses,
    findings: Vec<String>,
    build_id: Option<String>,
    index: OnceLock<NameIndex>,
    bounds: OnceLock<Bounds>,
    /// Where names are that were looked up. Per-CPU variables are looked up for each CPU.
    looked_up: Mutex<HashMap<String, Option<VirtAddr>>>,
    /// Names that were looked up and that several symbols have: how many, and which was taken.
    ambiguous: Mutex<BTreeMap<String, (usize, VirtAddr)>>,
}

impl SymbolsError {
    /// Whether they are in memory that the core does not have.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Missing { source: ReadError::Memory { .. }, .. })
    }
}

/// Where the kernel's image and its code are.
#[derive(Clone, Debug)]
struct Bounds {
    image: Range<VirtAddr>,
    code: [Range<VirtAddr>; 2],
}

impl Symbols {
    /// Reads the kernel's symbols.
    ///
    /// # Errors
    /// Fails if they cannot be found, or contradict what is known. What is missing of them
    /// is [`Self::findings`].
    pub fn read(space: &AddressSpace, info: &VmcoreInfo) -> Result<Self, SymbolsError> {
        let evidence = Evidence::of_vmcoreinfo(info);
        let by_info = match Tables::of_vmcoreinfo(space, info) {
            Ok(tables) => tables.map(|tables| tables.read(space, &evidence)),
            Err(error) => Some(Err(error)),
        };
        let contents = match by_info {
            Some(Ok(contents)) => Ok(contents),
            // The core has lost a part of them: no search finds it.
            Some(Err(error)) if error.is_lost() => Err(error),
            // What VMCOREINFO says may be damaged, and the table whole.
            by_info => found(space, info, &evidence).or_else(|error| by_info.unwrap_or(Err(error))),
        };
        let mut symbols = Self::new(contents?);
        symbols.build_id = info.value("BUILD-ID").map(str::to_owned);
        Ok(symbols.with_build_id(space))
    }

    /// Reads the symbols of an image of which nothing is known but where it begins.
    ///
    /// # Errors
    /// Fails if it has none.
    pub(super) fn of_image(space: &AddressSpace, start: VirtAddr) -> Result<Self, SymbolsError> {
        let evidence = Evidence::new(vec![("_text".to_owned(), start)]);
        let tables = search::search(space, start).ok_or(SymbolsError::NotFound)?;
        Ok(Self::new(tables.read(space, &evidence)?).with_build_id(space))
    }

    fn new(Contents { names, addresses, findings }: Contents) -> Self {
        Self {
            names,
            addresses,
            findings,
            build_id: None,
            index: OnceLock::new(),
            bounds: OnceLock::new(),
            looked_up: Mutex::default(),
            ambiguous: Mutex::default(),
        }
    }

    /// With the build id that the image has among its notes, if none is known.
    fn with_build_id(mut self, space: &AddressSpace) -> Self {
        self.build_id = self.build_id.take().or_else(|| self.build_id_in_notes(space));
        self
    }

    fn build_id_in_notes(&self, space: &AddressSpace) -> Option<String> {
        let start = self.address_of("__start_notes")?;
        let end = self.address_of("__stop_notes")?;
        let length = end.0.checked_sub(start.0).filter(|length| *length <= MAX_NOTES)?;
        let notes = space.read_vec(start, usize::try_from(length).ok()?).ok()?;
        BuildId::among(&notes, space.endian()).map(|id| id.to_string())
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.names.count().min(self.addresses.count())
    }

    /// What is missing or damaged, as sentences.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// How the kernel stores addresses.
    pub fn mode(&self) -> Mode {
        self.addresses.mode()
    }

    /// The kernel's build id, in hexadecimal digits.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// The address of a symbol. Of several with one name, the global one; if none or several
    /// are global, the lowest, and [`Self::ambiguities`] says so.
    pub fn address_of(&self, name: &str) -> Option<VirtAddr> {
        let looked_up = || self.looked_up.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = looked_up().get(name) {
            return *at;
        }
        let at = self.look_up(name);
        let mut looked_up = looked_up();
        if looked_up.len() < MAX_LOOKED_UP {
            looked_up.insert(name.to_owned(), at);
        }
        at
    }

    fn look_up(&self, name: &str) -> Option<VirtAddr> {
        let indices = self.indices(name);
        let at = |index: &u32| self.addresses.address(*index);
        let first = indices.iter().find_map(at)?;
        if indices.iter().filter_map(at).all(|other| other == first) {
            return Some(first);
        }
        let is_global = |index: &&u32| {
            self.names.name(**index).is_some_and(|name| name.letter.is_ascii_uppercase())
        };
        let mut global: Vec<_> = indices.iter().filter(is_global).filter_map(at).collect();
        global.dedup();
        if let [one] = global[..] {
            return Some(one);
        }
        let mut ambiguous = self.ambiguous.lock().unwrap_or_else(PoisonError::into_inner);
        if ambiguous.len() < MAX_AMBIGUOUS {
            ambiguous.insert(name.to_owned(), (indices.len(), first));
        }
        Some(first)
    }

    /// Names that were looked up and that several symbols have, as sentences.
    pub fn ambiguities(&self) -> Vec<String> {
        let ambiguous = self.ambiguous.lock().unwrap_or_else(PoisonError::into_inner);
        let sentence = |(name, (count, at)): (&String, &(usize, VirtAddr))| {
            format!("{count} symbols are named {name}: the one at {at} was taken")
        };
        ambiguous.iter().map(sentence).collect()
    }

    /// The addresses of all symbols with this name, by ascending address. Names of functions
    /// that are static need not be unique.
    pub fn all(&self, name: &str) -> Vec<VirtAddr> {
        self.indices(name).into_iter().filter_map(|index| self.addresses.address(index)).collect()
    }

    fn indices(&self, name: &str) -> Vec<u32> {
        self.index_names().all(&self.names, name)
    }

    /// Makes the index of names, which else the first look-up makes.
    pub(super) fn index_names(&self) -> &NameIndex {
        self.index.get_or_init(|| NameIndex::new(&self.names))
    }

    /// The symbol that an address of the kernel's image is in: of several at one address,
    /// the first, as the kernel itself has it.
    ///
    /// Returns `None` outside of the image.
    pub fn containing(&self, at: VirtAddr) -> Option<SymbolisedAddress> {
        let bounds = self.bounds();
        if !bounds.image.contains(&at) {
            return None;
        }
        let positions = self.addresses.at_or_below(at)?;
        let index = self.addresses.in_order(positions.start)?;
        let start = self.addresses.address(index)?;
        let name = self.names.name(index)?.text;
        let next = self.addresses.in_order(positions.end);
        let end = next.and_then(|next| self.addresses.address(next)).unwrap_or(bounds.image.end);
        Some(SymbolisedAddress {
            name,
            offset: at.0.wrapping_sub(start.0),
            size: end.0.wrapping_sub(start.0),
            module: None,
            build_id: self.build_id.clone(),
        })
    }

    /// Whether an address is in the kernel's own code.
    pub fn is_code(&self, at: VirtAddr) -> bool {
        self.bounds().code.iter().any(|range| range.contains(&at))
    }

    /// All symbols, by their order in the table: address, type, name.
    pub fn iter(&self) -> impl Iterator<Item = (VirtAddr, u8, Cow<'_, str>)> {
        self.names.iter().zip(0_u32..).filter_map(|(name, index)| {
            let at = self.addresses.address(index)?;
            Some((at, name.letter, Cow::Owned(name.text)))
        })
    }

    fn bounds(&self) -> &Bounds {
        self.bounds.get_or_init(|| {
            let last = self.count().checked_sub(1).and_then(|last| self.addresses.in_order(last));
            let last = last.and_then(|last| self.addresses.address(last)).unwrap_or_default();
            let end = last.saturating_add(LAST_SIZE);
            let at = |name, otherwise| self.address_of(name).unwrap_or(otherwise);
            let stext = at("_stext", end);
            let image = at("_text", stext)..at("_end", end);
            let etext = at("_etext", stext);
            let sinittext = at("_sinittext", end);
            let code = [stext..etext, sinittext..at("_einittext", sinittext)];
            Bounds { image, code }
        })
    }
}

/// The symbols in the image, wherever they are.
fn found(
    space: &AddressSpace,
    info: &VmcoreInfo,
    evidence: &Evidence,
) -> Result<Contents, SymbolsError> {
    let start = image::start(info).ok_or(SymbolsError::NotFound)?;
    search::search(space, start).ok_or(SymbolsError::NotFound)?.read(space, evidence)
}

#[cfg(test)]
mod sample_tests;
