//! A message: its length, its header, its payload.

use super::xdr::{Reader, Writer, XdrError};

/// The longest message that is accepted, in bytes: libvirt's own limit
/// (`VIR_NET_MESSAGE_MAX` and the length).
pub const MAX_MESSAGE: u32 = (32 << 20) + 4;
/// The bytes before the payload, the length included.
pub const HEADER: usize = 28;
/// The program of nearly all calls: `REMOTE_PROGRAM`.
pub const REMOTE: u32 = 0x2000_8086;
/// The program of calls that only its driver for QEMU has: `QEMU_PROGRAM`.
pub const QEMU: u32 = 0x2000_8087;
/// The version of [`REMOTE`] and of [`QEMU`].
const VERSION: u32 = 1;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call.
    Call,
    /// The reply to a call.
    Reply,
    /// An event: sent without a call.
    Event,
    /// Another, which no call of ours leads to.
    Other(u32),
}

/// What precedes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which set of procedures.
    pub program: u32,
    /// Which procedure of it.
    pub procedure: u32,
    /// What the message is.
    pub kind: Kind,
    /// The number of the call.
    pub serial: u32,
    /// Whether the payload is an error.
    pub is_error: bool,
}

/// The length of the message that begins with `bytes`, its length field included.
///
/// Returns `Ok(None)` if too few bytes are there yet. Fails for a length that libvirt
/// never sends.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, XdrError> {
    let Some(start) = bytes.first_chunk::<4>() else { return Ok(None) };
    let found = u32::from_be_bytes(*start);
    let shortest = u32::try_from(HEADER).unwrap_or_default();
    if !(shortest..=MAX_MESSAGE).contains(&found) {
        return Err(XdrError::TooLong { what: "message", found, most: MAX_MESSAGE });
    }
    Ok(usize::try_from(found).ok())
}

/// A whole message as its header and its payload.
pub fn decode(message: &[u8]) -> Result<(Header, &[u8]), XdrError> {
    let mut reader = Reader::new(message);
    reader.u32("message length")?;
    let program = reader.u32("program")?;
    reader.u32("version")?;
    let procedure = reader.u32("procedure")?;
    let kind = match reader.u32("type")? {
        0 => Kind::Call,
        1 => Kind::Reply,
        2 => Kind::Event,
        other => Kind::Other(other),
    };
    let serial = reader.u32("serial")?;
    let is_error = reader.u32("status")? != 0;
    let payload = message.get(HEADER..).unwrap_or_default();
    Ok((Header { program, procedure, kind, serial, is_error }, payload))
}

/// A message from its header and its payload.
pub fn encode(header: &Header, payload: &[u8]) -> Vec<u8> {
    let length = HEADER.saturating_add(payload.len());
    Writer::default()
        .u32(u32::try_from(length).unwrap_or(u32::MAX))
        .u32(header.program)
        .u32(VERSION)
        .u32(header.procedure)
        .u32(match header.kind {
            Kind::Call => 0,
            Kind::Reply => 1,
            Kind::Event => 2,
            Kind::Other(kind) => kind,
        })
        .u32(header.serial)
        .u32(header.is_error.into())
        .fixed(payload)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Header =
        Header { program: REMOTE, procedure: 66, kind: Kind::Call, serial: 1, is_error: false };

    #[test]
    fn a_message_is_encoded_as_libvirt_expects_it_and_read_back() {
        let bytes = encode(&CALL, &[1, 2, 3, 4]);
        assert_eq!(
            bytes,
            [
                0, 0, 0, 32, 0x20, 0, 0x80, 0x86, 0, 0, 0, 1, 0, 0, 0, 66, 0, 0, 0, 0, 0, 0, 0, 1,
                0, 0, 0, 0, 1, 2, 3, 4
            ]
        );
        assert_eq!(length(&bytes), Ok(Some(32)));
        assert_eq!(decode(&bytes), Ok((CALL, &[1, 2, 3, 4][..])));
        for kind in [Kind::Reply, Kind::Event, Kind::Other(5)] {
            let header = Header { kind, is_error: true, ..CALL };
            assert_eq!(decode(&encode(&header, &[])), Ok((header, &[][..])));
        }
    }

    #[test]
    fn every_truncation_is_an_error_or_waits_and_never_panics() {
        let bytes = encode(&CALL, &[]);
        for len in 0..4 {
            assert_eq!(length(&bytes[..len]), Ok(None));
        }
        for len in 0..HEADER {
            assert!(decode(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_length_that_libvirt_never_sends_is_refused() {
        for found in [0, 4, 27, MAX_MESSAGE + 1, u32::MAX] {
            assert!(length(&found.to_be_bytes()).is_err(), "{found}");
        }
        assert!(length(&MAX_MESSAGE.to_be_bytes()).is_ok());
    }
}
