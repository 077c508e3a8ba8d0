//! The header of an age file: the file key, wrapped for each recipient.
//!
//! ```text
//! age-encryption.org/v1
//! -> TYPE ARGUMENT...            a stanza for each recipient
//! base64, 64 columns             the last line of a body is shorter, if need be empty
//! --- base64                     HMAC-SHA-256 of all before it, up to and including ---
//! ```

use age_core::format::Stanza;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use ring::hmac;

use super::EncryptionError;
use super::file_key::FileKey;
use crate::corefile::read::bytes::{Bytes, DataError, read_vec};

/// What an age file begins with.
const VERSION: &str = "age-encryption.org/v1";
/// The longest header that is read, and the shortest that is asked for, in bytes.
const MAX_HEADER: u64 = 1 << 20;
const FIRST_READ: u64 = 4 << 10;
/// How many stanzas a header may have.
const MAX_STANZAS: usize = 1024;
/// How many letters a full line of a body has.
const COLUMNS: usize = 64;

/// Whether these are the first bytes of an age file.
pub fn is_age(bytes: &[u8]) -> bool {
    bytes.starts_with(VERSION.as_bytes())
}

/// Whether a file is an age file.
pub fn is_age_file(file: &dyn Bytes) -> Result<bool, DataError> {
    let length = file.length().min(VERSION.len() as u64);
    Ok(is_age(&read_vec(file, 0, length)?))
}

/// A header.
#[derive(Debug)]
pub(super) struct Header {
    /// The key, wrapped for each recipient.
    pub(super) stanzas: Vec<Stanza>,
    /// The header as it is in the file.
    pub(super) bytes: Vec<u8>,
    /// How many of these bytes the MAC is of.
    signed: usize,
    mac: Vec<u8>,
}

/// Why a header cannot be read.
enum Bad {
    /// It goes on.
    Incomplete,
    /// This is wrong with it.
    Because(&'static str),
}

impl Header {
    /// A new header that holds `key` in these stanzas.
    pub(super) fn new(stanzas: Vec<Stanza>, key: &FileKey) -> Result<Self, EncryptionError> {
        let mut text = format!("{VERSION}\n");
        for stanza in &stanzas {
            encode(stanza, &mut text);
        }
        text.push_str("---");
        let signed = text.len();
        let mac = hmac::sign(&key.mac_key()?, text.as_bytes());
        text.push(' ');
        text.push_str(&BASE64.encode(mac.as_ref()));
        text.push('\n');
        Ok(Self { stanzas, bytes: text.into_bytes(), signed, mac: mac.as_ref().to_vec() })
    }

    /// The header of a file.
    pub(super) fn read(file: &dyn Bytes) -> Result<Self, EncryptionError> {
        let mut most = FIRST_READ;
        loop {
            let length = file.length().min(most);
            let bytes = read_vec(file, 0, length)?;
            match Self::parse(&bytes) {
                Ok(header) => return Ok(header),
                Err(Bad::Because(problem)) => return Err(EncryptionError::Header { problem }),
                Err(Bad::Incomplete) if length == file.length() => {
                    return Err(EncryptionError::Header { problem: "the file ends in it" });
                }
                Err(Bad::Incomplete) if most >= MAX_HEADER => {
                    return Err(EncryptionError::Header { problem: "it is too long" });
                }
                Err(Bad::Incomplete) => most = most.saturating_mul(16),
            }
        }
    }

    /// The same, of a text in memory.
    pub(super) fn of_text(bytes: &[u8]) -> Result<Self, EncryptionError> {
        Self::parse(bytes).map_err(|bad| EncryptionError::Header {
            problem: match bad {
                Bad::Incomplete => "the file ends in it",
                Bad::Because(problem) => problem,
            },
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let mut lines = Lines { rest: bytes };
        if lines.next()? != VERSION {
            return Err(Bad::Because(
                "it is of no version of the age format that this program reads",
            ));
        }
        let mut stanzas = Vec::new();
        loop {
            let start = bytes.len().saturating_sub(lines.rest.len());
            let line = lines.next()?;
            if let Some(mac) = line.strip_prefix("--- ") {
                let mac = BASE64.decode(mac).map_err(|_| Bad::Because("its MAC is no base64"))?;
                let length = bytes.len().saturating_sub(lines.rest.len());
                let header = bytes.get(..length).unwrap_or_default().to_vec();
                return Ok(Self { stanzas, bytes: header, signed: start.saturating_add(3), mac });
            }
            let stanza = line.strip_prefix("-> ").ok_or(Bad::Because("a line is no stanza"))?;
            if stanzas.len() >= MAX_STANZAS {
                return Err(Bad::Because("it has too many recipients"));
            }
            stanzas.push(lines.stanza(stanza)?);
        }
    }

    /// Whether `key` is that of this header, and nothing of it was changed.
    pub(super) fn is_of(&self, key: &FileKey) -> Result<bool, EncryptionError> {
        let signed = self.bytes.get(..self.signed).unwrap_or_default();
        Ok(hmac::verify(&key.mac_key()?, signed, &self.mac).is_ok())
    }

    /// The types of its recipients, each once.
    pub(super) fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.stanzas.iter().map(|stanza| stanza.tag.clone()).collect();
        types.sort();
        types.dedup();
        types
    }
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, Bad> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or(Bad::Incomplete)?;
        let (line, rest) = self.rest.split_at_checked(end).ok_or(Bad::Incomplete)?;
        self.rest = rest.get(1..).unwrap_or_default();
        if !line.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return Err(Bad::Because("it has letters that no header has"));
        }
        std::str::from_utf8(line).map_err(|_| Bad::Because("it is no text"))
    }

    /// The stanza that begins with this line, and its body.
    fn stanza(&mut self, line: &str) -> Result<Stanza, Bad> {
        let mut words = line.split(' ').map(str::to_owned);
        let tag = words.next().unwrap_or_default();
        let args: Vec<String> = words.collect();
        if tag.is_empty() || args.iter().any(String::is_empty) {
            return Err(Bad::Because("a stanza has an empty argument"));
        }
        let mut text = String::new();
        loop {
            let line = self.next()?;
            if line.len() > COLUMNS {
                return Err(Bad::Because("a line of a stanza is too long"));
            }
            text.push_str(line);
            if line.len() < COLUMNS {
                break;
            }
        }
        let body = BASE64.decode(text).map_err(|_| Bad::Because("a stanza is no base64"))?;
        Ok(Stanza { tag, args, body })
    }
}

fn encode(stanza: &Stanza, text: &mut String) {
    text.push_str("-> ");
    text.push_str(&stanza.tag);
    for argument in &stanza.args {
        text.push(' ');
        text.push_str(argument);
    }
    text.push('\n');
    let body = BASE64.encode(&stanza.body);
    let mut rest = body.as_str();
    while let Some((line, more)) = rest.split_at_checked(COLUMNS) {
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(rest);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(body: usize) -> Stanza {
        Stanza { tag: "type".to_owned(), args: vec!["a".to_owned()], body: vec![7; body] }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let key = FileKey::generate().unwrap();
        // Bodies of no line, of a full one, and of several.
        let stanzas = || [0, 1, 48, 49, 500].map(stanza).into_iter().collect::<Vec<_>>();
        let header = Header::new(stanzas(), &key).unwrap();
        let mut file = header.bytes.clone();
        file.extend(b"the payload");
        let read = Header::read(&file).unwrap();
        assert_eq!((&read.bytes, &read.stanzas), (&header.bytes, &stanzas()));
        assert!(read.is_of(&key).unwrap());
        assert!(!read.is_of(&FileKey::generate().unwrap()).unwrap());
        assert_eq!(read.types(), ["type"]);
    }

    #[test]
    fn what_was_changed_is_not_of_the_key() {
        let key = FileKey::generate().unwrap();
        let header = Header::new(vec![stanza(32)], &key).unwrap();
        let changed = String::from_utf8(header.bytes).unwrap().replacen("type", "tape", 1);
        assert!(!Header::of_text(changed.as_bytes()).unwrap().is_of(&key).unwrap());
    }

    #[test]
    fn every_truncation_and_each_changed_byte_is_an_error_and_never_a_panic() {
        let key = FileKey::generate().unwrap();
        let header = Header::new(vec![stanza(32), stanza(100)], &key).unwrap().bytes;
        for length in 0..header.len() {
            assert!(Header::read(&header[..length].to_vec()).is_err(), "cut at {length}");
        }
        for at in 0..header.len() {
            let mut changed = header.clone();
            changed[at] ^= 0x55;
            let read = Header::read(&changed);
            assert!(read.is_err() || !read.unwrap().is_of(&key).unwrap(), "changed at {at}");
        }
    }

    #[test]
    fn a_header_has_a_bound() {
        let line = "-> x y\n\n".repeat(MAX_STANZAS + 1);
        let many = format!("{VERSION}\n{line}").into_bytes();
        assert!(matches!(Header::read(&many), Err(EncryptionError::Header { .. })));
        let mut long = format!("{VERSION}\n-> ").into_bytes();
        long.resize(8 << 20, b'x');
        assert!(matches!(Header::read(&long), Err(EncryptionError::Header { .. })));
    }
}
