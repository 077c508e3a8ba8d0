//! Words and numbers within a line of a log.

/// Whether a text has a word.
pub(crate) fn has(text: &[u8], word: &str) -> bool {
    memchr::memmem::find(text, word.as_bytes()).is_some()
}

/// What follows a word, if the text has it.
pub(crate) fn after<'a>(text: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(text, word.as_bytes())?;
    text.get(at + word.len()..)
}

/// The decimal number that a text begins with.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}
