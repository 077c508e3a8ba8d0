//! The child's side: memory of a held guest through a socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::dump_head::{DumpHead, DumpHeadError, Progress};

use super::memory::{HeldMemory, Source};
use super::wire;
use crate::vmcore::{Dump, MemoryRange, Vmcore};

/// The process that answers questions on a socket.
#[derive(Debug)]
struct Asked(UnixStream);

impl Asked {
    fn ask(&mut self, start: PhysAddr, into: &mut [u8]) -> io::Result<Result<(), String>> {
        self.0.write_all(&wire::question(MemoryRange { start, length: into.len() as u64 }))?;
        let mut head = [0; wire::ANSWER_HEAD];
        self.0.read_exact(&mut head)?;
        let none = || io::Error::new(io::ErrorKind::InvalidData, "an answer that is none");
        let head = wire::answer_head(head).ok_or_else(none)?;
        if head.is_memory && head.length == into.len() {
            self.0.read_exact(into)?;
            return Ok(Ok(()));
        }
        let mut content = Vec::with_capacity(head.length);
        (&mut self.0).take(head.length as u64).read_to_end(&mut content)?;
        if content.len() < head.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Err(if head.is_memory {
            format!("{} bytes came", head.length)
        } else {
            String::from_utf8_lossy(&content).into_owned()
        }))
    }
}

impl Source for Asked {
    fn read(&mut self, start: PhysAddr, into: &mut [u8]) -> Result<(), String> {
        self.ask(start, into)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of memory whose server answers so.
    fn read(answer: &[u8]) -> Result<(), String> {
        let (child, mut server) = UnixStream::pair().unwrap();
        server.write_all(answer).unwrap();
        drop(server.shutdown(std::net::Shutdown::Write));
        Asked(child).read(PhysAddr(0x1000), &mut [0; 8])
    }

    #[test]
    fn an_answer_is_the_memory_that_was_asked_for_or_an_error() {
        assert_eq!(read(&wire::answer_memory(&[&[7; 8]])), Ok(()));
        assert_eq!(read(&wire::answer_problem("no")), Err("no".to_owned()));
        for (answer, problem) in [
            (wire::answer_memory(&[&[7; 3]]), "3 bytes came"),
            (wire::answer_memory(&[&[7; 9]]), "9 bytes came"),
            (wire::answer_memory(&[&[7; 8]])[..9].to_vec(), "is not served any more"),
            (vec![9; 16], "an answer that is none"),
        ] {
            let error = read(&answer).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
