//! The stream of names.

use super::tokens::Tokens;
use crate::text::{self, MAX_NAME};

/// The offset of every 64th name is kept.
const STRIDE: u32 = 64;
/// The most tokens of a name that are expanded: its type's, and one too many. The kernel's own
/// tokens have a letter each at least.
const MAX_TOKENS: usize = MAX_NAME + 2;

/// A symbol's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its type, as `nm` writes it: `t` for code, `d` for data; upper case for global ones.
    pub letter: u8,
    /// The name, of at most [`MAX_NAME`] bytes.
    pub text: String,
}

/// The names of all symbols, packed as in memory.
#[derive(Clone, Debug)]
pub struct Names {
    stream: Vec<u8>,
    tokens: Tokens,
    /// The offsets of names 0, 64, 128... in the stream.
    marks: Vec<u32>,
    count: u32,
}

impl Names {
    /// Walks a stream of `count` names. It may be longer than the names.
    ///
    /// The walk ends early at the end of the stream and at a name of length 0. Then
    /// [`Self::count`] is less than `count`.
    pub fn walk(mut stream: Vec<u8>, count: u32, tokens: Tokens) -> Self {
        let mut marks = Vec::new();
        let mut at = 0_usize;
        let mut found = 0_u32;
        while found < count {
            let Some((start, length)) = entry(&stream, at) else { break };
            let end = start.saturating_add(length);
            if length == 0 || end > stream.len() {
                break;
            }
            if found.is_multiple_of(STRIDE) {
                match u32::try_from(at) {
                    Ok(mark) => marks.push(mark),
                    Err(_) => break,
                }
            }
            at = end;
            found = found.saturating_add(1);
        }
        stream.truncate(at);
        stream.shrink_to_fit();
        Self { stream, tokens, marks, count: found }
    }

    /// The number of names.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The length of the stream that they take, in bytes.
    pub fn length(&self) -> usize {
        self.stream.len()
    }

    /// The name of a symbol. Bytes that are not UTF-8 are replaced.
    pub fn name(&self, index: u32) -> Option<Name> {
        self.packed(index).map(|packed| self.expand(packed))
    }

    /// The type of a symbol: the first letter of its name.
    pub fn letter(&self, index: u32) -> Option<u8> {
        self.expanded(self.packed(index)?).next()
    }

    /// Whether a symbol has this name.
    pub fn is(&self, index: u32, name: &str) -> bool {
        self.packed(index).is_some_and(|packed| self.expanded(packed).skip(1).eq(name.bytes()))
    }

    /// All names, in order.
    pub fn iter(&self) -> impl Iterator<Item = Name> + '_ {
        self.all_packed().map(|packed| self.expand(packed))
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// All names as tokens, in order.
    pub(super) fn all_packed(&self) -> impl Iterator<Item = &[u8]> + '_ {
        Packed { stream: &self.stream, at: 0 }
    }

    fn packed(&self, index: u32) -> Option<&[u8]> {
        let mark = self.marks.get(usize::try_from(index / STRIDE).ok()?)?;
        let at = usize::try_from(*mark).ok()?;
        Packed { stream: &self.stream, at }.nth(usize::try_from(index % STRIDE).ok()?)
    }

    fn expanded<'a>(&'a self, packed: &'a [u8]) -> impl Iterator<Item = u8> + 'a {
        packed.iter().take(MAX_TOKENS).flat_map(|token| self.tokens.text(*token)).copied()
    }

    /// A name, as far as it is one: a token can have 16 KiB, and a name 32,767 tokens.
    fn expand(&self, packed: &[u8]) -> Name {
        let mut bytes = Vec::with_capacity(48);
        for token in packed.iter().take(MAX_TOKENS) {
            let left = MAX_TOKENS.saturating_sub(bytes.len());
            let text = self.tokens.text(*token);
            bytes.extend_from_slice(text.get(..left).unwrap_or(text));
        }
        let letter = bytes.first().copied().unwrap_or(b'?');
        let mut text = text::lossy(bytes.get(1..).unwrap_or_default(), MAX_NAME);
        if packed.len() > MAX_TOKENS {
            text = text::cut(&text, MAX_NAME);
        }
        Name { letter, text }
    }
}

/// Iterates over packed names.
struct Packed<'a> {
    stream: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Packed<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (start, length) = entry(self.stream, self.at)?;
        let end = start.checked_add(length)?;
        let packed = self.stream.get(start..end)?;
        self.at = end;
        Some(packed)
    }
}

/// The offset of the tokens of the name at `at`, and their number.
pub(super) fn entry(stream: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = *stream.get(at)?;
    let next = at.checked_add(1)?;
    if first & 0x80 == 0 {
        return Some((next, usize::from(first)));
    }
    // Since Linux commit 73bbb94466fd "kallsyms: support "big" kernel symbols" (in v6.1).
    let second = *stream.get(next)?;
    let length = usize::from(first & 0x7f) | usize::from(second) << 7;
    Some((next.checked_add(1)?, length))
}
