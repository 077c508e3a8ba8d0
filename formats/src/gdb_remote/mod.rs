//! Packets of gdb's remote protocol, as they go between gdb and a stub.
//!
//! ```text
//! $ body # xx     a packet; xx is the sum of the body's bytes, in hexadecimal digits
//! % body # xx     a notification
//! +  -            a packet arrived; it is to be sent again
//! 0x03            gdb asks for a stop
//! ```
//!
//! A body stays as it is on the wire, with its escapes: it is passed on, and not understood but
//! for its first bytes ([`Request`]).

mod request;

pub use request::{Breakpoint, Request};

use thiserror::Error;

/// The longest body, in bytes. QEMU's have 131,104 at most.
pub const MAX_BODY: usize = 1 << 20;

/// What comes over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A packet whose sum is right: its body.
    Packet(Vec<u8>),
    /// A packet whose sum is wrong.
    Broken,
    /// A notification, which nobody answers.
    Notification,
    /// The last packet arrived.
    Taken,
    /// The last packet is to be sent again.
    Again,
    /// gdb asks for a stop.
    Interrupt,
}

/// A body is longer than any is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a packet of gdb's protocol has more than {MAX_BODY} bytes")]
pub struct TooLong;

/// Where the decoder is in the bytes that come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    #[default]
    Between,
    Body {
        notification: bool,
    },
    Sum {
        notification: bool,
        first: Option<u8>,
    },
}

/// Finds the units in the bytes of one direction, however they are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    position: Position,
    body: Vec<u8>,
}

impl Decoder {
    /// The unit that ends with this byte, if one does. What belongs to none is dropped.
    ///
    /// # Errors
    /// Fails if a body is too long; nothing behind it can be trusted.
    pub fn push(&mut self, byte: u8) -> Result<Option<Unit>, TooLong> {
        match self.position {
            Position::Between => Ok(self.between(byte)),
            Position::Body { notification } => {
                match byte {
                    b'#' => self.position = Position::Sum { notification, first: None },
                    // The beginning of this one was lost on the way.
                    b'$' => {
                        self.body.clear();
                        self.position = Position::Body { notification: false };
                    }
                    _ if self.body.len() >= MAX_BODY => return Err(TooLong),
                    _ => self.body.push(byte),
                }
                Ok(None)
            }
            Position::Sum { notification, first: None } => {
                self.position = Position::Sum { notification, first: Some(byte) };
                Ok(None)
            }
            Position::Sum { notification, first: Some(first) } => {
                self.position = Position::Between;
                let body = std::mem::take(&mut self.body);
                let digits = digit(first).zip(digit(byte));
                let found = digits.map(|(high, low)| high << 4 | low);
                Ok(Some(match (found == Some(sum(&body)), notification) {
                    (true, false) => Unit::Packet(body),
                    (false, false) => Unit::Broken,
                    (_, true) => Unit::Notification,
                }))
            }
        }
    }

    fn between(&mut self, byte: u8) -> Option<Unit> {
        match byte {
            b'$' | b'%' => {
                self.position = Position::Body { notification: byte == b'%' };
                None
            }
            b'+' => Some(Unit::Taken),
            b'-' => Some(Unit::Again),
            3 => Some(Unit::Interrupt),
            _ => None,
        }
    }
}

/// A packet in bytes. `body` must have its escapes.
pub fn encode(body: &[u8]) -> Vec<u8> {
    let mut packet = vec![b'$'];
    packet.extend(body);
    packet.extend(format!("#{:02x}", sum(body)).into_bytes());
    packet
}

fn sum(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(bytes: &[u8]) -> Vec<Unit> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|byte| decoder.push(*byte).unwrap()).collect()
    }

    #[test]
    fn each_kind_of_unit_is_found() {
        let stream = b"+$?#3f\x03-$OK#9a%Stop:T05#00$m0,4#00junk$a$g#67";
        let packet = |body: &[u8]| Unit::Packet(body.to_vec());
        assert_eq!(
            units(stream),
            [
                Unit::Taken,
                packet(b"?"),
                Unit::Interrupt,
                Unit::Again,
                packet(b"OK"),
                Unit::Notification,
                Unit::Broken,
                packet(b"g"),
            ]
        );
    }

    #[test]
    fn an_escaped_body_stays_as_it_is() {
        // `}` and the byte behind it stand for one byte, and `*` for a run.
        let body = b"X0,2:}\x03}]0* ";
        assert_eq!(units(&encode(body)), [Unit::Packet(body.to_vec())]);
    }

    #[test]
    fn a_body_is_bounded() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(b'$'), Ok(None));
        for _ in 0..MAX_BODY {
            assert_eq!(decoder.push(b'a'), Ok(None));
        }
        assert_eq!(decoder.push(b'a'), Err(TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            units(&bytes);
        }

        #[test]
        fn what_is_encoded_is_decoded(body in "[ -\"%-~]{0,80}") {
            prop_assert_eq!(units(&encode(body.as_bytes())), [Unit::Packet(body.into_bytes())]);
        }
    }
}
