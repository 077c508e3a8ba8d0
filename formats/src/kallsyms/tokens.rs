//! Tokens: the texts of which names consist.

use thiserror::Error;

use super::MAX_TOKEN_TABLE;
use crate::cursor::Cursor;
use crate::endian::Endian;

/// The number of tokens: one for each value of a byte.
const COUNT: usize = 256;
/// Length of `kallsyms_token_index`, in bytes.
pub const TOKEN_INDEX_LENGTH: usize = COUNT * 2;

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
    /// The hash of its text.
    hash: u64,
    /// That of the text's first letter.
    first: u64,
}

/// The 256 tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    texts: Vec<u8>,
    tokens: Box<[Token; COUNT]>,
}

impl Tokens {
    /// Decodes both tables. Bytes of `table` after the last text are ignored.
    ///
    /// # Errors
    /// Fails if there are fewer than 256 texts, or if the index contradicts them.
    pub fn decode(table: &[u8], index: &[u8], endian: Endian) -> Result<Self, TokenError> {
        let table = table.get(..MAX_TOKEN_TABLE).unwrap_or(table);
        let mut index = Cursor::new(index, endian);
        let mut tokens = Box::new([Token::default(); COUNT]);
        let mut at = 0_usize;
        for (token, decoded) in tokens.iter_mut().enumerate() {
            let short = TokenError::Short { token };
            let rest = table.get(at..).unwrap_or_default();
            let length = rest.iter().position(|byte| *byte == 0).ok_or(short.clone())?;
            let indexed = usize::from(index.u16("token index").map_err(|_| short.clone())?);
            if indexed != at {
                return Err(TokenError::Index { token, found: at, indexed });
            }
            let text = rest.get(..length).unwrap_or_default();
            let fits = u16::try_from(at).ok().zip(u16::try_from(length).ok());
            let (start, length) = fits.ok_or(short)?;
            let first = text.first().copied().map_or(0, letter);
            *decoded = Token { start, length, hash: hash_of(text), first };
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
        let all = tokens.iter().map(|token| self.token(*token));
        let sum = all.clone().fold(0_u64, |sum, token| sum.wrapping_add(token.hash));
        // The first letter is that of the first token that is not empty.
        let first = all.clone().find(|token| token.length > 0).unwrap_or_default();
        sum.wrapping_sub(first.first)
    }

    fn token(&self, token: u8) -> Token {
        self.tokens.get(usize::from(token)).copied().unwrap_or_default()
    }
}

/// The hash of a text, equal to [`Tokens::hash`] of a name that is some letter and the text: a sum,
/// so that no step waits for the one before. Names of the same letters have the same.
pub(super) fn hash_of(text: &[u8]) -> u64 {
    text.iter().fold(0, |sum, byte| sum.wrapping_add(letter(*byte)))
}

/// What a letter adds to a hash.
fn letter(byte: u8) -> u64 {
    let spread = u64::from(byte).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread ^ spread >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
