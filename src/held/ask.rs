//! The child's side: memory of a held guest through a socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use vmcore_formats::elf::dump_head::{DumpHead, DumpHeadError, Progress};

use super::memory::{HeldMemory, Source};
use super::wire;
use crate::vmcore::{Dump, MemoryRange, Vmcore};

/// The process that answers questions on a socket.
#[derive(Debug)]
struct Asked(UnixStream);

impl Asked {
    fn ask(&mut self, range: MemoryRange) -> io::Result<Result<Vec<u8>, String>> {
        self.0.write_all(&wire::question(range))?;
        let mut head = [0; wire::ANSWER_HEAD];
        self.0.read_exact(&mut head)?;
        let none = || io::Error::new(io::ErrorKind::InvalidData, "an answer that is none");
        let head = wire::answer_head(head).ok_or_else(none)?;
        let mut content = Vec::with_capacity(head.length);
        (&mut self.0).take(head.length as u64).read_to_end(&mut content)?;
        if content.len() < head.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let memory = head.is_memory.then_some(());
        Ok(match memory {
            Some(()) => Ok(content),
            None => Err(String::from_utf8_lossy(&content).into_owned()),
        })
    }
}

impl Source for Asked {
    fn read(&mut self, range: MemoryRange) -> Result<Vec<u8>, String> {
        self.ask(range)
            .unwrap_or_else(|error| Err(format!("the memory is not served any more: {error}")))
    }
}

/// A held guest as an open core, by the head of its dump and the socket that its memory comes from.
///
/// # Errors
/// Fails if `head` is none.
pub fn open(monitor: &Path, head: &[u8], memory: UnixStream) -> Result<Vmcore, DumpHeadError> {
    let Progress::Complete(decoded) = DumpHead::decode(head)? else {
        return Err(DumpHeadError::NoMemory);
    };
    let notes = decoded.notes.iter().cloned();
    let notes = notes.filter_map(|range| head.get(range)).flatten().copied().collect();
    let memory = HeldMemory::new(&decoded, Box::new(Asked(memory)));
    let dump = Dump {
        format: "held guest".to_owned(),
        identity: decoded.identity,
        notes,
        memory: Arc::new(memory),
        segments: decoded.segments,
        elf: None,
        findings: Vec::new(),
    };
    Ok(Vmcore::without_file(monitor, dump))
}
