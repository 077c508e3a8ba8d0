//! A part of a prefix: punctuation, blanks, or a word.
//!
//! Needs: a text. Gives: whether it begins with such a part, and how long that is.

/// The longest word.
const MAX_WORD: usize = 256;
/// The words of levels, which differ from line to line.
const LEVELS: [&[u8]; 13] = [
    b"emerg",
    b"alert",
    b"crit",
    b"err",
    b"error",
    b"warn",
    b"warning",
    b"notice",
    b"info",
    b"debug",
    b"default",
    b"critical",
    b"fatal",
];

/// What a line has of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// All of it: the message begins here.
    Whole(usize),
    /// All but the kernel's name: another program's line.
    Other,
    /// Something else.
    No,
}

/// A part of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Punctuation.
    Byte(u8),
    /// Blanks, and their number.
    Blank(usize),
    Word(Word),
}

/// A word of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// The word, if it was always the same.
    pub(super) text: Option<Vec<u8>>,
    /// It had a digit at least once.
    pub(super) digits: bool,
}

impl Slot {
    /// How much of a text is of this shape.
    pub(super) fn fit(&self, text: &[u8], stamp: bool, last: bool) -> Result<usize, Fit> {
        match self {
            Self::Byte(byte) => (text.first() == Some(byte)).then_some(1).ok_or(Fit::No),
            Self::Blank(count) => {
                let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
                // The message may have blanks of its own.
                Ok(if last { blanks.min(*count) } else { blanks })
            }
            Self::Word(wanted) => wanted.fit(word(text), stamp),
        }
    }
}

impl Word {
    pub(super) fn is_kernel(&self) -> bool {
        matches!(self.text.as_deref(), Some(b"kernel" | b"kern"))
    }

    fn fit(&self, word: &[u8], stamp: bool) -> Result<usize, Fit> {
        if word.is_empty() {
            return Err(Fit::No);
        }
        if self.text.as_deref() == Some(word) {
            return Ok(word.len());
        }
        if self.is_kernel() {
            return Err(Fit::Other);
        }
        let level = |word: &[u8]| LEVELS.contains(&word);
        let fits = match &self.text {
            _ if self.digits => word.iter().any(u8::is_ascii_digit) || self.text.is_none(),
            Some(own) => stamp || level(own) && level(word),
            None => true,
        };
        if fits { Ok(word.len()) } else { Err(Fit::No) }
    }
}

/// The bracket that closes a group.
pub(super) fn closing(open: u8) -> Option<u8> {
    match open {
        b'[' => Some(b']'),
        b'(' => Some(b')'),
        b'{' => Some(b'}'),
        b'"' => Some(b'"'),
        _ => None,
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The word that a text begins with.
pub(super) fn word(text: &[u8]) -> &[u8] {
    let length = text.iter().take(MAX_WORD).take_while(|byte| is_word(**byte)).count();
    text.get(..length).unwrap_or_default()
}
