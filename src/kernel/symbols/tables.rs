//! Reads the tables of kallsyms.
//!
//! Needs: where they are, and addresses of symbols that are known from elsewhere. Gives: names and
//! addresses. The encoding of addresses that matches the known ones is taken ([`Evidence`]).

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::kallsyms::{
    Addresses, MAX_NAMES, MAX_SYMBOLS, MAX_TOKEN_TABLE, Mode, Names, TOKEN_INDEX_LENGTH, Tokens,
};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::SymbolsError;
use super::evidence::Evidence;
use crate::kernel::page_tables::AddressSpace;
use crate::kernel::reading::read_tables;

/// Where the tables are.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) names: VirtAddr,
    pub(crate) symbol_count: u32,
    pub(crate) token_table: VirtAddr,
    pub(crate) token_index: VirtAddr,
    /// Where the addresses may be, and how they may be stored there.
    pub(crate) addresses: Vec<(VirtAddr, Vec<Mode>)>,
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
    /// Returns `Ok(None)` for kernels before Linux commit 5fd8fea935a1 "vmcoreinfo: include kallsyms
    /// symbols" (in v6.0).
    pub(super) fn of_vmcoreinfo(
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
        let symbol_count = space.read_u32(count).map_err(missing("kallsyms_num_syms"))?;
        let mut addresses = Vec::new();
        if let Some(table) = symbol("kallsyms_offsets") {
            let modes = match symbol("kallsyms_relative_base") {
                Some(base) => {
                    let base = space.read_u64(base).map_err(missing("kallsyms_relative_base"))?;
                    let base = VirtAddr(base);
                    vec![Mode::AbsolutePerCpu { base }, Mode::BaseRelative { base }]
                }
                None => vec![Mode::PlaceRelative { table }],
            };
            addresses.push((table, modes));
        }
        addresses.extend(symbol("kallsyms_addresses").map(|table| (table, vec![Mode::Absolute])));
        Ok(Some(Self { names, symbol_count, token_table, token_index, addresses }))
    }

    /// Reads and decodes them.
    pub(super) fn read(
        &self,
        space: &AddressSpace,
        evidence: &Evidence,
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
        let buffer = |length: u64| vec![0; usize::try_from(length).unwrap_or_default()];
        let mut stream = buffer(length);
        let mut token_table = buffer(token_table_length);
        let mut token_index = [0; TOKEN_INDEX_LENGTH];
        let (first, modes) = self.addresses.first().ok_or(SymbolsError::NoAddresses)?;
        let mut first_table = buffer(table_length(count, modes));
        let missing = read_tables(
            space,
            &mut [
                (self.names, &mut stream),
                (self.token_table, &mut token_table),
                (self.token_index, &mut token_index),
                (*first, &mut first_table),
            ],
        );
        let mut findings = Vec::new();
        if let Some(problem) = &missing.problem {
            let bytes = missing.bytes;
            findings
                .push(format!("{bytes} bytes of the kernel's symbol table are missing: {problem}"));
        }
        // What is wrong with tables that are not all there is that they are not.
        let or_missing = |error: SymbolsError| match missing.problem.clone() {
            Some(source) => SymbolsError::Missing { what: "a part of their tables", source },
            None => error,
        };
        let tokens = Tokens::decode(&token_table, &token_index, space.endian());
        let tokens = tokens.map_err(|error| or_missing(error.into()))?;
        let names = Names::walk(stream, count, tokens);
        if names.count() < count {
            findings.push(format!(
                "the kernel's symbol table is damaged: it has {} names of {count}",
                names.count()
            ));
        }
        let addresses = self.decide(space, &names, first_table, evidence).map_err(or_missing)?;
        if addresses.disorder() > 0 {
            findings.push(format!(
                "the kernel's symbol table is damaged: {} of its {count} addresses are less than the one before",
                addresses.disorder()
            ));
        }
        Ok(Contents { names, addresses, findings })
    }

    /// Decides which table has the addresses, and how they are stored. The first one is read.
    fn decide(
        &self,
        space: &AddressSpace,
        names: &Names,
        first_table: Vec<u8>,
        evidence: &Evidence,
    ) -> Result<Addresses, SymbolsError> {
        let mut first_table = Some(first_table);
        let mut best: Option<(usize, Addresses)> = None;
        for (at, modes) in &self.addresses {
            let mut table = first_table.take().unwrap_or_else(|| {
                let length = table_length(self.symbol_count, modes);
                let mut table = vec![0; usize::try_from(length).unwrap_or_default()];
                read_tables(space, &mut [(*at, &mut table)]);
                table
            });
            for mode in modes {
                let addresses = Addresses::new(*mode, table, names.count(), space.endian());
                let hits = evidence.hits(space, names, &addresses);
                if hits >= Evidence::ENOUGH && addresses.disorder() == 0 {
                    return Ok(addresses);
                }
                let better = |(most, best): &(usize, Addresses)| {
                    hits > *most || hits == *most && addresses.disorder() < best.disorder()
                };
                if best.as_ref().is_none_or(better) {
                    best = Some((hits, addresses.clone()));
                }
                table = addresses.into_table();
            }
        }
        let (hits, addresses) = best.ok_or(SymbolsError::NoAddresses)?;
        if evidence.is_enough(names, &addresses, hits) {
            return Ok(addresses);
        }
        Err(SymbolsError::Contradiction { known: evidence.known(), hits })
    }
}

fn table_length(count: u32, modes: &[Mode]) -> u64 {
    let entry = modes.iter().map(Mode::entry_size).max().unwrap_or_default();
    u64::from(count).saturating_mul(entry)
}
