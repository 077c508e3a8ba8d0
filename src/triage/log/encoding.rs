//! The encoding of a log's file: UTF-8 or one of its kin, or UTF-16 as Windows' shells write it.
//!
//! Needs: the bytes of a file. Gives: the same text with one byte for each ASCII character.

use std::borrow::Cow;

/// How many bytes show whether every other one is zero.
const SAMPLE: usize = 512;

/// The text without its byte order mark, in UTF-8 if it was UTF-16.
pub(super) fn decoded(log: &[u8]) -> Cow<'_, [u8]> {
    match log {
        [0xef, 0xbb, 0xbf, text @ ..] => Cow::Borrowed(text),
        [0xff, 0xfe, text @ ..] => Cow::Owned(of_utf16(text, u16::from_le_bytes)),
        [0xfe, 0xff, text @ ..] => Cow::Owned(of_utf16(text, u16::from_be_bytes)),
        _ => match zeros(log) {
            Some(Zeros::High) => Cow::Owned(of_utf16(log, u16::from_le_bytes)),
            Some(Zeros::Low) => Cow::Owned(of_utf16(log, u16::from_be_bytes)),
            None => Cow::Borrowed(log),
        },
    }
}

/// Which bytes of each pair are zero.
enum Zeros {
    /// The second ones: UTF-16, little endian.
    High,
    /// The first ones.
    Low,
}

/// A log is ASCII for the most part, so without a mark UTF-16 shows by its zeros.
fn zeros(log: &[u8]) -> Option<Zeros> {
    let sample = log.get(..log.len().min(SAMPLE)).unwrap_or_default();
    let count = |odd: usize| sample.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (first, second) = (count(0), count(1));
    let most = |zeros: usize| zeros * 10 >= (sample.len() / 2) * 9;
    match (first, second) {
        _ if sample.len() < 8 => None,
        (first, second) if most(second) && first * 10 < second => Some(Zeros::High),
        (first, second) if most(first) && second * 10 < first => Some(Zeros::Low),
        _ => None,
    }
}

fn of_utf16(text: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let pairs = text.chunks_exact(2).filter_map(|pair| Some(unit(pair.try_into().ok()?)));
    let mut utf8 = Vec::with_capacity(text.len() / 2);
    for character in char::decode_utf16(pairs) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        utf8.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    // Shells append to a file in their own encoding, and each piece may begin with a mark.
    utf8.strip_prefix("\u{feff}".as_bytes()).map(<[u8]>::to_vec).unwrap_or(utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_is_read_with_a_mark_and_without() {
        let text = "[    1.000000] Call Trace: b\u{fc}ro";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for (mark, bytes) in [(vec![0xff, 0xfe], &little), (vec![0xfe, 0xff], &big)] {
            let marked: Vec<u8> = mark.into_iter().chain(bytes.iter().copied()).collect();
            assert_eq!(decoded(&marked), text.as_bytes());
            assert_eq!(decoded(bytes), text.as_bytes());
        }
        assert_eq!(decoded(b"\xef\xbb\xbftext"), b"text".as_slice());
    }

    #[test]
    fn other_bytes_stay() {
        for bytes in [b"".as_slice(), b"a", b"\0\0\0\0\0\0\0\0\0\0", b"plain text", b"\xff"] {
            assert_eq!(decoded(bytes), bytes);
        }
    }
}
