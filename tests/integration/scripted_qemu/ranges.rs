//! Dumps of ranges of the scripted QEMU, as its plan says.

use std::os::fd::OwnedFd;

use super::dump::{broken_pipe, write_all};
use super::{Peer, State};
use crate::script::RangesPlan;

/// What a dump is refused or ends with.
type Refusal = (&'static str, String);

/// Dumps that were asked for: of all memory, and of ranges since the last of these.
fn asked(state: &State) -> (usize, usize) {
    let dumps = state.received.iter().filter(|(name, _)| name == "dump-guest-memory");
    dumps.fold((0, 0), |(whole, ranges), (_, arguments)| {
        if arguments["begin"].is_null() { (whole + 1, 0) } else { (whole, ranges + 1) }
    })
}

impl Peer {
    /// Sends the dump of a range.
    pub(super) fn send_range(&self, pipe: &OwnedFd, bytes: &[u8]) -> Result<(), Refusal> {
        // The heads are of the plan, and of what is read by it.
        let second = asked(&self.lock()) == (2, 2);
        let half = &bytes[..bytes.len() - bytes.len() / 4];
        let sent = match self.script.ranges.filter(|_| second) {
            None | Some(RangesPlan::Work | RangesPlan::OtherNotes) => write_all(pipe, bytes),
            Some(RangesPlan::Short) => write_all(pipe, half),
            Some(RangesPlan::Long) => write_all(pipe, bytes).and_then(|()| write_all(pipe, &[1])),
            Some(RangesPlan::Fails) => write_all(pipe, half)
                .and(Err("dump: failed to save memory: Bad address".to_owned())),
            Some(RangesPlan::Refused) => Err("There is a dump in process, please wait.".to_owned()),
            Some(RangesPlan::Clipped) => {
                // The size of the only segment, in memory and in the file.
                let mut clipped = bytes.to_vec();
                for at in [64 + 56 + 32, 64 + 56 + 40] {
                    let size = u64::from_le_bytes(clipped[at..at + 8].try_into().unwrap());
                    clipped[at..at + 8].copy_from_slice(&(size - 1).to_le_bytes());
                }
                write_all(pipe, &clipped[..bytes.len() - 1])
            }
            Some(RangesPlan::ClientLost) => {
                let sent = write_all(pipe, half);
                if let Some(client) = self.lock().client.take() {
                    let _ = client.shutdown(std::net::Shutdown::Both);
                }
                sent
            }
            Some(RangesPlan::Killed) => {
                let _ = write_all(pipe, half);
                self.end();
                broken_pipe()
            }
        };
        sent.map_err(|text| ("GenericError", text))
    }

    /// The whole dump, if its notes are not those that it had before.
    pub(super) fn other_notes(&self) -> Option<Vec<u8>> {
        let (whole, _) = asked(&self.lock());
        if self.script.ranges != Some(RangesPlan::OtherNotes) || whole != 3 {
            return None;
        }
        let mut bytes = self.script.stream.bytes.clone();
        // The first program header of a stored core is that of the notes.
        let field = |at: usize| {
            let number = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            usize::try_from(number).unwrap()
        };
        let end = field(64 + 8) + field(64 + 32);
        bytes[end - 1] ^= 1;
        Some(bytes)
    }
}
