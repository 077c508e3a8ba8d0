//! Cuts the monitor's bytes into lines, however they arrive.
//!
//! Needs: bytes in pieces. Gives: whole lines without their CRLF. A line may
//! be [`MAX_LINE`] bytes long; QEMU's longest, the list of thousands of vCPUs,
//! is well below.

/// The longest line that is accepted, in bytes.
pub(super) const MAX_LINE: usize = 4 << 20;

/// A line longer than [`MAX_LINE`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What came from the monitor and is not yet a line.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// How many bytes are known to hold no line end.
    searched: usize,
}

impl LineBuffer {
    /// Adds what was received.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line that is not empty.
    ///
    /// Returns `Ok(None)` if none is there yet.
    ///
    /// # Errors
    /// Fails if a line is longer than [`MAX_LINE`], whether it ended or not.
    pub(super) fn next_line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        loop {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(position) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                return if self.searched > MAX_LINE { Err(TooLong) } else { Ok(None) };
            };
            let end = self.searched.saturating_add(position);
            self.searched = 0;
            let rest = self.bytes.split_off(end.saturating_add(1));
            let line = std::mem::replace(&mut self.bytes, rest);
            if line.len() > MAX_LINE {
                return Err(TooLong);
            }
            let line = line.trim_ascii();
            if !line.is_empty() {
                return Ok(Some(line.to_vec()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LineBuffer, MAX_LINE, TooLong};

    #[test]
    fn a_line_may_come_in_pieces_and_lines_may_come_together() {
        let mut buffer = LineBuffer::default();
        for piece in [&b"{\"a\""[..], b":1}\r", b"\n{}\r\n\r\n[]\n{"] {
            buffer.push(piece);
        }
        for expected in [&b"{\"a\":1}"[..], b"{}", b"[]"] {
            assert_eq!(buffer.next_line(), Ok(Some(expected.to_vec())));
        }
        assert_eq!(buffer.next_line(), Ok(None));
        buffer.push(b"}\n");
        assert_eq!(buffer.next_line(), Ok(Some(b"{}".to_vec())));
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_bound() {
        let mut buffer = LineBuffer::default();
        buffer.push(&vec![b'x'; MAX_LINE]);
        assert_eq!(buffer.next_line(), Ok(None));
        buffer.push(b"x");
        assert_eq!(buffer.next_line(), Err(TooLong));
    }
}
