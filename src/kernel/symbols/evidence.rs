//! Addresses of symbols that are known from elsewhere: the check on a decoded table.
//!
//! A misread table can still have one symbol right: if place-relative entries are read from an
//! offset that is wrong by four bytes, `_text` decodes correctly. So two symbols have to match,
//! and no address may be out of order.

use std::cell::OnceCell;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::kallsyms::{Addresses, NameIndex, Names};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::kernel::page_tables::AddressSpace;

/// How many symbols are compared.
const MAX_KNOWN: usize = 256;
/// How many names of one address are compared.
const MAX_ALIASES: usize = 64;
/// A string in every kernel, and how it begins.
const BANNER: (&str, &[u8]) = ("linux_banner", b"Linux version ");

/// Known addresses.
#[derive(Debug)]
pub(crate) struct Evidence {
    known: Vec<(String, VirtAddr)>,
    index: OnceCell<NameIndex>,
}

impl Evidence {
    /// How many symbols have to match.
    pub(super) const ENOUGH: usize = 2;

    /// The symbols that VMCOREINFO has.
    pub(super) fn of_vmcoreinfo(info: &VmcoreInfo) -> Self {
        let symbol = |line: &str| {
            let name = line.strip_prefix("SYMBOL(")?.split_once(')')?.0;
            Some((name.to_owned(), info.symbol(name)?))
        };
        Self::new(info.text().lines().filter_map(symbol).take(MAX_KNOWN).collect())
    }

    /// These symbols.
    pub(crate) fn new(known: Vec<(String, VirtAddr)>) -> Self {
        Self { known, index: OnceCell::new() }
    }

    /// How many symbols are known.
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// How many symbols match.
    ///
    /// Always called with the same names, which are indexed only if too few match otherwise.
    pub(super) fn hits(&self, space: &AddressSpace, names: &Names, addresses: &Addresses) -> usize {
        let hits = self.known.iter().filter(|known| is_hit(names, addresses, known)).count();
        if hits >= Self::ENOUGH {
            return hits;
        }
        let (banner, beginning) = BANNER;
        let reads = |index: u32| {
            let at = addresses.address(index)?;
            Some(space.read_vec(at, beginning.len()).ok()? == beginning)
        };
        let banners = self.all(names, banner);
        hits.saturating_add(usize::from(
            banners.into_iter().any(|index| reads(index) == Some(true)),
        ))
    }

    /// Is this enough evidence? One match suffices if no other known symbol is in the table, as
    /// without `KALLSYMS_ALL`.
    pub(super) fn is_enough(&self, names: &Names, addresses: &Addresses, hits: usize) -> bool {
        let there = || {
            let known = self.known.iter().map(|(name, _)| name.as_str()).chain([BANNER.0]);
            known.filter(|name| !self.all(names, name).is_empty()).count()
        };
        hits >= Self::ENOUGH || hits > 0 && addresses.disorder() == 0 && there() <= hits
    }

    fn all(&self, names: &Names, name: &str) -> Vec<u32> {
        self.index.get_or_init(|| NameIndex::new(names)).all(names, name)
    }
}

/// Whether a known symbol matches. It is looked up by its address, which needs no index.
fn is_hit(names: &Names, addresses: &Addresses, (name, at): &(String, VirtAddr)) -> bool {
    let Some(positions) = addresses.at_or_below(*at) else { return false };
    positions
        .filter_map(|position| addresses.in_order(position))
        .take(MAX_ALIASES)
        .any(|index| addresses.address(index) == Some(*at) && names.is(index, name))
}
