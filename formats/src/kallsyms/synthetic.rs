//! Builds symbol tables for tests, in each layout.
//!
//! It packs names in its own simple way: a token for each byte, and tokens for whole words.
//! It never asks the decoder for anything, so that they can disagree.

/// Words that have a token of their own.
const WORDS: [&str; 6] = ["Tsys_", "init", "_table", "Dper_cpu_", "kfree", "x64"];
/// The first token of a word. Those before it are of one byte, their own.
const FIRST_WORD: u8 = 0x80;

/// Symbols as `(address, type and name)`.
pub(super) type Symbol<'a> = (u64, &'a str);

/// The texts of the 256 tokens.
fn texts() -> Vec<Vec<u8>> {
    (0..=255_u8)
        .map(|token| match token.checked_sub(FIRST_WORD) {
            Some(word) => WORDS.get(usize::from(word)).unwrap_or(&"").as_bytes().to_vec(),
            None if token.is_ascii_graphic() => vec![token],
            None => Vec::new(),
        })
        .collect()
}

/// `kallsyms_token_table` and `kallsyms_token_index`.
pub(super) fn token_tables() -> (Vec<u8>, Vec<u8>) {
    let (mut table, mut index) = (Vec::new(), Vec::new());
    for text in texts() {
        index.extend((table.len() as u16).to_le_bytes());
        table.extend(text);
        table.push(0);
    }
    (table, index)
}

/// A name as tokens.
fn packed(name: &str) -> Vec<u8> {
    let mut rest = name;
    let mut tokens = Vec::new();
    while let Some(first) = rest.bytes().next() {
        let word = WORDS.iter().position(|word| rest.starts_with(word));
        let (token, length) = match word {
            Some(word) => (FIRST_WORD + word as u8, WORDS[word].len()),
            None => (first, 1),
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens
}

/// `kallsyms_names`, and where each 256th name begins.
pub(super) fn names(symbols: &[Symbol<'_>]) -> (Vec<u8>, Vec<u32>) {
    let (mut stream, mut markers) = (Vec::new(), Vec::new());
    for (index, (_, name)) in symbols.iter().enumerate() {
        if index % 256 == 0 {
            markers.push(stream.len() as u32);
        }
        let tokens = packed(name);
        match tokens.len() {
            short @ 0..0x80 => stream.push(short as u8),
            long => stream.extend([0x80 | (long & 0x7f) as u8, (long >> 7) as u8]),
        }
        stream.extend(tokens);
    }
    (stream, markers)
}
