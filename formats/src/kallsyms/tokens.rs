//! Tokens: the texts of which names consist.

use thiserror::Error;

use super::MAX_TOKEN_TABLE;
use crate::cursor::Cursor;
use crate::endian::Endian;

/// The number of tokens: one for each value of a byte.
const COUNT: usize = 256;
/// Length of `kallsyms_token_index`, in bytes.
pub const TOKEN_INDEX_LENGTH: usize = COUNT * 2;
/// The factor of the hash. It is odd, so that each letter affects the hash.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Why tables are not those of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Too few texts.
    #[error("the table of tokens ends in token {token}")]
    Short {
        /// The token that is cut off.
        token: usize,
    },
    /// The index contradicts the texts.
    #[error("token {token} begins at {found:#x}, but at {indexed:#x} by kallsyms_token_index")]
    Index {
        /// The token.
        token: usize,
        /// The offset of its text.
        found: usize,
        /// Its offset in the index.
        indexed: usize,
    },
}

/// A token: its text, and its contribution to a hash.
#[derive(Clone, Copy, Debug, Default)]
struct Token {
    start: u16,
    length: u16,
    /// `hash(name + text) = hash(name) * scale + sum`
    sum: u64,
    scale: u64,
    /// The sum without the text's first letter.
    tail_sum: u64,
}

/// The 256 tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    texts: Vec<u8>,
    tokens: Vec<Token>,
}

impl Tokens {
    /// Decodes both tables. Bytes of `table` after the last text are ignored.
    ///
    /// # Errors
    /// Fails if there are fewer than 256 texts, or if the index contradicts them.
    pub fn decode(table: &[u8], index: &[u8], endian: Endian) -> Result<Self, TokenError> {
        let table = table.get(..MAX_TOKEN_TABLE).unwrap_or(table);
        let mut index = Cursor::new(index, endian);
        let mut tokens = Vec::with_capacity(COUNT);
        let mut at = 0_usize;
        for token in 0..COUNT {
            let short = TokenError::Short { token };
            let rest = table.get(at..).unwrap_or_default();
            let length = rest.iter().position(|byte| *byte == 0).ok_or(short.clone())?;
            let indexed = usize::from(index.u16("token index").map_err(|_| short.clone())?);
            if indexed != at {
                return Err(TokenError::Index { token, found: at, indexed });
            }
            let text = rest.get(..length).unwrap_or_default();
            let (sum, scale) = hash_and_scale(text);
            let tail_sum = hash_of(text.get(1..).unwrap_or_default());
            let fits = u16::try_from(at).ok().zip(u16::try_from(length).ok());
            let (start, length) = fits.ok_or(short)?;
            tokens.push(Token { start, length, sum, scale, tail_sum });
            at = at.saturating_add(usize::from(length)).saturating_add(1);
        }
        Ok(Self { texts: table.get(..at).unwrap_or_default().to_vec(), tokens })
    }

    /// Length of the table, in bytes.
    pub fn table_length(&self) -> usize {
        self.texts.len()
    }

    /// The text of a token.
    pub(super) fn text(&self, token: u8) -> &[u8] {
        let token = self.token(token);
        let start = usize::from(token.start);
        let end = start.saturating_add(usize::from(token.length));
        self.texts.get(start..end).unwrap_or_default()
    }

    /// The hash of the name that consists of these tokens, without its first letter.
    pub(super) fn hash(&self, tokens: &[u8]) -> u64 {
        // The first letter is that of the first token that is not empty.
        let empty = tokens.iter().take_while(|token| self.token(**token).length == 0).count();
        let Some((first, rest)) = tokens.get(empty..).and_then(<[u8]>::split_first) else {
            return 0;
        };
        rest.iter().fold(self.token(*first).tail_sum, |hash, token| {
            let token = self.token(*token);
            hash.wrapping_mul(token.scale).wrapping_add(token.sum)
        })
    }

    fn token(&self, token: u8) -> Token {
        self.tokens.get(usize::from(token)).copied().unwrap_or_default()
    }
}

/// The hash of a text, equal to [`Tokens::hash`] of a name that is some letter and the text.
pub(super) fn hash_of(text: &[u8]) -> u64 {
    hash_and_scale(text).0
}

/// The hash of a text, and the factor for the hash of any text before it.
fn hash_and_scale(text: &[u8]) -> (u64, u64) {
    text.iter().fold((0, 1), |(sum, scale): (u64, u64), byte| {
        let letter = u64::from(*byte).wrapping_add(1);
        (sum.wrapping_mul(FACTOR).wrapping_add(letter), scale.wrapping_mul(FACTOR))
    })
}
