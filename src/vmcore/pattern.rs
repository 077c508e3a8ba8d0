//! Bytes that are searched for, some of which may be any.

use memchr::memmem::Finder;
use thiserror::Error;

/// The longest pattern. Each piece of memory that is searched keeps as much at its ends.
pub const MAX_LENGTH: usize = 64 << 10;

/// Why something is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Nothing is searched for.
    #[error("there is nothing to search for")]
    Empty,
    /// Too long.
    #[error("a pattern has at most {MAX_LENGTH} bytes, and this one has {length}")]
    TooLong {
        /// How long it is.
        length: usize,
    },
    /// Any bytes would do.
    #[error("a pattern needs a byte that is not ??")]
    AnyBytes,
    /// Not hexadecimal.
    #[error("{found:?} is neither a byte in hexadecimal nor ??")]
    NotHex {
        /// What was found instead.
        found: String,
    },
}

/// Bytes that are searched for.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// `None` is any byte.
    bytes: Vec<Option<u8>>,
    /// Looks for the longest run of bytes that are not any.
    finder: Finder<'static>,
    /// Where that run begins in the pattern.
    skip: usize,
}

impl Pattern {
    /// A pattern of these bytes.
    pub fn exact(bytes: &[u8]) -> Result<Self, PatternError> {
        Self::new(bytes.iter().copied().map(Some).collect())
    }

    /// A pattern in hexadecimal, with `??` for any byte: `de ad ?? ef`, `dead??ef`.
    ///
    /// # Errors
    /// Fails if it is not hexadecimal, or is none of a byte at least.
    pub fn hex(text: &str) -> Result<Self, PatternError> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let byte = |pair: &[char]| {
            let pair: String = pair.iter().collect();
            if pair == "??" {
                return Ok(None);
            }
            let digits = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            let value = u8::from_str_radix(&pair, 16).ok().filter(|_| digits);
            value.map(Some).ok_or(PatternError::NotHex { found: pair })
        };
        Self::new(digits.chunks(2).map(byte).collect::<Result<_, _>>()?)
    }

    fn new(bytes: Vec<Option<u8>>) -> Result<Self, PatternError> {
        match bytes.len() {
            0 => return Err(PatternError::Empty),
            length if length > MAX_LENGTH => return Err(PatternError::TooLong { length }),
            _ => {}
        }
        let (mut skip, mut at, mut longest) = (0, 0_usize, Vec::new());
        for run in bytes.split_inclusive(Option::is_none) {
            let exact: Vec<u8> = run.iter().flatten().copied().collect();
            if exact.len() > longest.len() {
                (skip, longest) = (at, exact);
            }
            at = at.saturating_add(run.len());
        }
        if longest.is_empty() {
            return Err(PatternError::AnyBytes);
        }
        Ok(Self { bytes, finder: Finder::new(&longest).into_owned(), skip })
    }

    /// How many bytes it has. Never zero.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is found in zeros.
    pub fn is_zeros(&self) -> bool {
        self.bytes.iter().all(|byte| matches!(byte, None | Some(0)))
    }

    /// Where it first is in `haystack`, from `from` on.
    pub fn find(&self, haystack: &[u8], from: usize) -> Option<usize> {
        let mut from = from;
        loop {
            let begin = from.checked_add(self.skip)?;
            let run = self.finder.find(haystack.get(begin..)?)?;
            let at = from.checked_add(run)?;
            let found = haystack.get(at..)?.get(..self.bytes.len())?;
            if self.skip == 0 && self.finder.needle().len() == self.bytes.len() {
                return Some(at);
            }
            let same = self.bytes.iter().zip(found);
            if same.clone().all(|(wanted, byte)| wanted.is_none_or(|wanted| wanted == *byte)) {
                return Some(at);
            }
            from = at.checked_add(1)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &Pattern, haystack: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(at) = pattern.find(haystack, from) {
            found.push(at);
            from = at + 1;
        }
        found
    }

    #[test]
    fn places_that_overlap_are_all_found() {
        let pattern = Pattern::exact(b"aa").unwrap();
        assert_eq!(all(&pattern, b"aaaba"), [0, 1]);
        assert!(all(&pattern, b"a").is_empty() && all(&pattern, b"").is_empty());
    }

    #[test]
    fn any_bytes_may_stand_at_each_place() {
        for (text, haystack, expected) in [
            ("61 ?? 63", &b"abcaxcac"[..], &[0, 3][..]),
            ("??61", b"aba", &[1]),
            ("61??", b"aba", &[0]),
            ("?? 61 62 ?? ?? 63", b"aab..cxab..c", &[0, 6]),
            ("6162????63", b"ababxxcc", &[2]),
        ] {
            assert_eq!(all(&Pattern::hex(text).unwrap(), haystack), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_reported() {
        for (text, error) in [
            ("", PatternError::Empty),
            (" ", PatternError::Empty),
            ("?? ??", PatternError::AnyBytes),
            ("d", PatternError::NotHex { found: "d".to_owned() }),
            ("+1", PatternError::NotHex { found: "+1".to_owned() }),
            ("d?", PatternError::NotHex { found: "d?".to_owned() }),
        ] {
            assert_eq!(Pattern::hex(text).unwrap_err(), error, "{text}");
        }
        let long = Pattern::exact(&vec![1; MAX_LENGTH + 1]).unwrap_err();
        assert_eq!(long, PatternError::TooLong { length: MAX_LENGTH + 1 });
    }

    #[test]
    fn patterns_of_zeros_are_known_for_such() {
        assert!(Pattern::hex("00 ?? 00").unwrap().is_zeros());
        assert!(!Pattern::hex("00 01").unwrap().is_zeros());
    }
}
