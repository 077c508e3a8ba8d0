//! Finds kallsyms by its structure, where VMCOREINFO does not have its address.
//!
//! ```text
//! a   offsets, relative_base, num_syms, names, markers, token_table, token_index
//! b   addresses, num_syms, names, markers, token_table, token_index
//! c   as a or b, with kallsyms_seqs_of_names after the markers
//! d   num_syms, names, markers, token_table, token_index, offsets, relative_base, seqs_of_names
//! e   as d, without relative_base
//! ```
//!
//! | order | since Linux commit |
//! |---|---|
//! | c | 60443c88f3a8 "kallsyms: Improve the performance of `kallsyms_lookup_name()`" (in v6.2) |
//! | d | 404bad70fcf7 "scripts/kallsyms: change the output order" (in v6.4) |
//! | e | a081b5789255 "kallsyms: Get rid of kallsyms relative base" (in v7.0) |
//!
//! Distributions backport these, so each table is searched at all of its possible positions,
//! and has to be consistent:
//!
//! 1. The tokens of the digits follow each other, 20 bytes in all ([`DIGITS`]). Fonts and
//!    keymaps have the same bytes, but only tokens are followed by an index with the offsets
//!    of all 256.
//! 2. Markers ascend from 0, by at least two bytes for each of 256 names.
//! 3. The number of names precedes the names, and a walk through them meets every marker.
//!
//! The table of addresses cannot be identified by its structure. All candidates are returned;
//! the caller chooses by symbols whose addresses it has from elsewhere.
//!
//! Needs: bytes that begin at a page boundary, because tables are aligned by their addresses.
//!
//! ```
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::kallsyms::locate::{DIGITS, are_tokens, locate};
//!
//! // Tokens of one letter each, then their index; no names before them.
//! let mut bytes: Vec<u8> = (0..=255_u8).flat_map(|token| [token.max(1), 0]).collect();
//! bytes.extend((0..256_u16).flat_map(|token| Endian::Little.u16_bytes(token * 2)));
//! let digits = bytes.windows(DIGITS.len()).position(|window| window == DIGITS).unwrap();
//! assert!(are_tokens(&bytes, digits, Endian::Little));
//! assert_eq!(locate(&bytes, digits, Endian::Little), None);
//! ```

mod addresses;
mod names;

pub use addresses::Candidate;

use self::addresses::candidates;
use super::tokens::{TOKEN_INDEX_LENGTH, Tokens};
use crate::endian::Endian;

/// The tokens of the digits.
pub const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
/// The token of the first digit.
const ZERO: usize = b'0' as usize;
/// The most padding between the tokens and their index.
const MAX_PADDING: usize = 64;

/// The offsets of the tables in the bytes that were searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// `kallsyms_names`.
    pub names: usize,
    /// The value of `kallsyms_num_syms`.
    pub symbol_count: u32,
    /// `kallsyms_token_table`.
    pub token_table: usize,
    /// `kallsyms_token_index`.
    pub token_index: usize,
    /// Candidates for the table of addresses.
    pub addresses: Vec<Candidate>,
}

/// Whether [`DIGITS`] at `digits` in `bytes` are part of a table of tokens with an index.
/// `bytes` should have [`MAX_TOKEN_TABLE`] bytes before and after them.
///
/// [`MAX_TOKEN_TABLE`]: super::MAX_TOKEN_TABLE
pub fn are_tokens(bytes: &[u8], digits: usize, endian: Endian) -> bool {
    tokens(bytes, digits, endian).is_some()
}

/// Finds the tables of kallsyms around [`DIGITS`] at `digits` in `bytes`.
///
/// Returns `None` if the digits are not those of kallsyms, or if `bytes` do not contain all
/// tables.
pub fn locate(bytes: &[u8], digits: usize, endian: Endian) -> Option<Located> {
    let (token_table, token_index) = tokens(bytes, digits, endian)?;
    let found = names::before(bytes, token_table, endian)?;
    let end = token_index.checked_add(TOKEN_INDEX_LENGTH)?;
    let addresses = candidates(bytes, found.count_at, end, found.symbol_count, endian);
    Some(Located {
        names: found.names,
        symbol_count: found.symbol_count,
        token_table,
        token_index,
        addresses,
    })
}

/// The offsets of the table of tokens around the digits, and of its index.
fn tokens(bytes: &[u8], digits: usize, endian: Endian) -> Option<(usize, usize)> {
    let mut end = digits;
    for _ in ZERO..256 {
        let rest = bytes.get(end..)?;
        let length = rest.iter().take(super::MAX_TOKEN_TABLE).position(|byte| *byte == 0)?;
        end = end.checked_add(length)?.checked_add(1)?;
    }
    let first = end.checked_next_multiple_of(4)?;
    (first..first.checked_add(MAX_PADDING)?).step_by(4).find_map(|index| {
        let table = bytes.get(index..index.checked_add(TOKEN_INDEX_LENGTH)?)?;
        // The indexed offset of the first digit gives the start of the table.
        let before = endian.u16_at(table, ZERO.checked_mul(2)?)?;
        let start = digits.checked_sub(usize::from(before))?;
        let tokens = Tokens::decode(bytes.get(start..index)?, table, endian).ok()?;
        (start.checked_add(tokens.table_length())? == end).then_some((start, index))
    })
}

#[cfg(test)]
mod tests;
