//! Finds kallsyms by its structure, where nobody tells where it is.
//!
//! ```text
//! up to 6.3       offsets, relative_base, num_syms, names, markers, token_table, token_index
//!   or            addresses, num_syms, names, markers, token_table, token_index
//! 6.2, 6.3        the same with kallsyms_seqs_of_names behind the markers
//! 6.4 and newer   num_syms, names, markers, token_table, token_index, offsets, relative_base,
//!                 seqs_of_names; since 7.0 without relative_base
//! ```
//!
//! Distributions carry a later order into older kernels, so that each part is looked for
//! in each of its places, and has to prove itself:
//!
//! 1. The tokens of the digits are one after the other, 20 bytes in all ([`DIGITS`]). Fonts
//!    and keymaps have them, too; but only behind tokens there is an index that says where
//!    each of the 256 begins.
//! 2. Markers ascend from 0, by at least two bytes for each of 256 names.
//! 3. Before the names is their number, and walking them meets every marker.
//!
//! Which table has the addresses is left to whoever knows some: all that may are given.
//!
//! Needs: bytes that begin at the beginning of a page, as tables are aligned by their addresses.

mod addresses;
mod names;

pub use addresses::Candidate;

use self::addresses::candidates;
use super::tokens::{TOKEN_INDEX_LENGTH, Tokens};
use crate::cursor::Endian;

/// What the tokens of the digits look like.
pub const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
/// The token of the first digit.
const ZERO: usize = b'0' as usize;
/// How far the index may be behind the tokens.
const MAX_PADDING: usize = 64;

/// Where the tables are in the bytes that were searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// `kallsyms_names`.
    pub names: usize,
    /// `kallsyms_num_syms`.
    pub symbol_count: u32,
    /// `kallsyms_token_table`.
    pub token_table: usize,
    /// `kallsyms_token_index`.
    pub token_index: usize,
    /// Where the addresses may be, and how they would be stored.
    pub addresses: Vec<Candidate>,
}

/// Whether [`DIGITS`] at `digits` in `bytes` are among tokens with an index. What is before
/// and behind them has to be in `bytes` for as much as tokens take ([`MAX_TOKEN_TABLE`]).
///
/// [`MAX_TOKEN_TABLE`]: super::MAX_TOKEN_TABLE
#[must_use]
pub fn are_tokens(bytes: &[u8], digits: usize, endian: Endian) -> bool {
    tokens(bytes, digits, endian).is_some()
}

/// Looks whether [`DIGITS`] at `digits` in `bytes` are those of kallsyms, and for all other
/// tables around.
///
/// Returns `None` if they are not, or the other tables are not all in `bytes`.
#[must_use]
pub fn locate(bytes: &[u8], digits: usize, endian: Endian) -> Option<Located> {
    let (token_table, token_index) = tokens(bytes, digits, endian)?;
    let found = names::before(bytes, token_table, endian)?;
    let behind = token_index.checked_add(TOKEN_INDEX_LENGTH)?;
    let addresses = candidates(bytes, found.count_at, behind, found.symbol_count, endian);
    Some(Located {
        names: found.names,
        symbol_count: found.symbol_count,
        token_table,
        token_index,
        addresses,
    })
}

/// Where the tables of tokens are around those of the digits.
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
        // What the index says of the first digit is where the table begins.
        let before = endian.u16_at(table, ZERO.checked_mul(2)?)?;
        let start = digits.checked_sub(usize::from(before))?;
        let tokens = Tokens::decode(bytes.get(start..index)?, table, endian).ok()?;
        (start.checked_add(tokens.table_length())? == end).then_some((start, index))
    })
}

#[cfg(test)]
mod tests;
