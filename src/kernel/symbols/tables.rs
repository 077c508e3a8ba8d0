//! Reads kallsyms where its tables are known to be.
//!
//! Needs: where they are, and some symbols whose addresses are known. Gives: names and
//! addresses. How addresses are stored is decided by what comes out: known symbols have to
//! be where they are.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::cursor::Endian;
use vmcore_formats::kallsyms::{
    Addresses, MAX_NAMES, MAX_SYMBOLS, MAX_TOKEN_TABLE, Mode, Names, TOKEN_INDEX_LENGTH, Tokens,
};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::SymbolsError;
use super::reading::read_tables;
use crate::kernel::page_tables::AddressSpace;

/// How many known symbols have to be where they are.
const ENOUGH: usize = 2;

/// Where the tables are.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) names: VirtAddr,
    pub(super) symbol_count: u32,
    pub(super) token_table: VirtAddr,
    pub(super) token_index: VirtAddr,
    /// Where the addresses are, and how they may be stored.
    pub(super) addresses: Vec<(VirtAddr, Mode)>,
}

/// Names and addresses, and what was wrong with them.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) names: Names,
    pub(super) addresses: Addresses,
    pub(super) findings: Vec<String>,
}

impl Tables {
    /// Where VMCOREINFO says that they are.
    ///
    /// Returns `Ok(None)` if it does not: kernels before 6.0 do not.
    pub(super) fn told(
        space: &AddressSpace,
        info: &VmcoreInfo,
    ) -> Result<Option<Self>, SymbolsError> {
        let symbol = |name| info.symbol(name);
        let (Some(names), Some(count), Some(token_table), Some(token_index)) = (
            symbol("kallsyms_names"),
            symbol("kallsyms_num_syms"),
            symbol("kallsyms_token_table"),
            symbol("kallsyms_token_index"),
        ) else {
            return Ok(None);
        };
        let missing = |what| move |source| SymbolsError::Missing { what, source };
        let mut bytes = [0; 4];
        space.read(count, &mut bytes).map_err(missing("kallsyms_num_syms"))?;
        let symbol_count = match space.endian() {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        };
        let mut addresses = Vec::new();
        if let Some(table) = symbol("kallsyms_offsets") {
            match symbol("kallsyms_relative_base") {
                Some(base) => {
                    let base = space.read_u64(base).map_err(missing("kallsyms_relative_base"))?;
                    let base = VirtAddr(base);
                    addresses.push((table, Mode::AbsolutePerCpu { base }));
                    addresses.push((table, Mode::BaseRelative { base }));
                }
                None => addresses.push((table, Mode::PlaceRelative { table })),
            }
        }
        addresses.extend(symbol("kallsyms_addresses").map(|table| (table, Mode::Absolute)));
        Ok(Some(Self { names, symbol_count, token_table, token_index, addresses }))
    }

    /// Reads and decodes them.
    pub(super) fn read(
        &self,
        space: &AddressSpace,
        known: &[(String, VirtAddr)],
    ) -> Result<Contents, SymbolsError> {
        let count = self.symbol_count;
        if count == 0 || count > MAX_SYMBOLS {
            return Err(SymbolsError::Count { count });
        }
        // Each layout has the names before the tokens, with markers between them.
        let length = self.token_table.0.wrapping_sub(self.names.0);
        if length > MAX_NAMES {
            return Err(SymbolsError::NamesLength { length });
        }
        let token_table_length = self.token_index.0.wrapping_sub(self.token_table.0);
        let token_table_length = token_table_length.min(MAX_TOKEN_TABLE as u64);
        let entry_size = self.addresses.iter().map(|(_, mode)| mode.entry_size()).max();
        let entry_size = entry_size.ok_or(SymbolsError::NoAddresses)?;
        let buffer = |length: u64| vec![0; usize::try_from(length).unwrap_or_default()];
        let mut stream = buffer(length);
        let mut token_table = buffer(token_table_length);
        let mut token_index = [0; TOKEN_INDEX_LENGTH];
        let (address_table, _) = self.addresses.first().ok_or(SymbolsError::NoAddresses)?;
        let mut addresses = buffer(u64::from(count).saturating_mul(entry_size));
        let missing = read_tables(
            space,
            &mut [
                (self.names, &mut stream),
                (self.token_table, &mut token_table),
                (self.token_index, &mut token_index),
                (*address_table, &mut addresses),
            ],
        );
        let mut findings = Vec::new();
        if let Some(problem) = &missing.problem {
            let bytes = missing.bytes;
            findings
                .push(format!("{bytes} bytes of the kernel's symbol table are missing: {problem}"));
        }
        let tokens = Tokens::decode(&token_table, &token_index, space.endian())?;
        let names = Names::walk(stream, count, tokens);
        if names.count() < count {
            findings.push(format!(
                "the kernel's symbol table is damaged: it has {} names of {count}",
                names.count()
            ));
        }
        let addresses = self.decide(space.endian(), &names, addresses, known)?;
        if addresses.disorder() > 0 {
            findings.push(format!(
                "the kernel's symbol table is damaged: {} of its {count} addresses are less than the one before",
                addresses.disorder()
            ));
        }
        Ok(Contents { names, addresses, findings })
    }

    /// Decides how addresses are stored.
    fn decide(
        &self,
        endian: Endian,
        names: &Names,
        table: Vec<u8>,
        known: &[(String, VirtAddr)],
    ) -> Result<Addresses, SymbolsError> {
        let mut table = Some(table);
        let mut best: Option<(usize, Addresses)> = None;
        let mut modes = self.addresses.iter().map(|(_, mode)| *mode).peekable();
        while let Some(mode) = modes.next() {
            let bytes = if modes.peek().is_some() { table.clone() } else { table.take() };
            let addresses = Addresses::new(mode, bytes.unwrap_or_default(), names.count(), endian);
            let hits = hits(names, &addresses, known);
            if best.as_ref().is_none_or(|(most, _)| hits > *most) {
                best = Some((hits, addresses));
            }
        }
        let (hits, addresses) = best.ok_or(SymbolsError::NoAddresses)?;
        // A table of code alone has none but `_stext` of those that VMCOREINFO knows.
        if hits >= ENOUGH
            || (hits > 0
                && !known.iter().any(|(name, _)| name != "_stext" && is_there(names, name)))
        {
            return Ok(addresses);
        }
        Err(SymbolsError::Contradiction { known: known.len(), hits })
    }
}

/// How many known symbols are where they are.
fn hits(names: &Names, addresses: &Addresses, known: &[(String, VirtAddr)]) -> usize {
    let hit = |(name, at): &&(String, VirtAddr)| {
        let Some(positions) = addresses.at_or_below(*at) else { return false };
        positions
            .filter_map(|position| addresses.in_order(position))
            .take(64)
            .any(|index| addresses.address(index) == Some(*at) && names.is(index, name))
    };
    known.iter().filter(hit).count()
}

fn is_there(names: &Names, name: &str) -> bool {
    names.iter().any(|found| found.text == name)
}

/// The symbols that VMCOREINFO knows.
pub(super) fn known(info: &VmcoreInfo) -> Vec<(String, VirtAddr)> {
    let symbol = |line: &str| {
        let name = line.strip_prefix("SYMBOL(")?.split_once(')')?.0;
        Some((name.to_owned(), info.symbol(name)?))
    };
    info.text().lines().filter_map(symbol).take(256).collect()
}
