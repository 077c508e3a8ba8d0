//! Sends a core in parts, and goes on where an earlier process has ended.
//!
//! ```text
//! core ─► one at a time: read, hash, send ─► up to 64 MiB on the way ─► id of the part ─► queue's file
//! ```
//!
//! The queue's file is written beside it, with all ids that came since it was written last: a disk
//! that the server writes to, too, takes as long for that as the server for a part.
//!
//! The hash goes over every byte of the file in order, those that the server has already, too: it
//! is that of the file that was sent, whoever sent its parts.

use std::fs::File;
use std::io::{self, Read};
use std::iter;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use sha2::{Digest, Sha256};

use super::files::{LocalCore, Stamp};
use super::item::Upload;
use super::presence::is_listed;
use super::queue::Held;
use super::{BucketError, Rate};
use crate::metadata::core_record::hex;
use crate::remote::multipart::SentPart;
use crate::remote::{Channel, RemoteError};

/// The least bytes of a part; S3 wants 5 MiB.
const PART: u64 = 8 << 20;
/// The most parts that are aimed at, of 10,000 that S3 has.
const PARTS: u64 = 9000;
/// How many bytes are on their way at the same time, if that is more than one part.
const ON_THE_WAY: u64 = 64 << 20;
/// How many bytes of the end are always compared with what the server has: footer and seek table.
const END: u64 = 1 << 20;
const MIB: u64 = 1 << 20;

/// What was sent.
pub(super) struct Sent {
    /// The name of the core there.
    pub(super) key: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// Whether all of it was read from the server, and has this hash.
    pub(super) read_back: bool,
}

/// How it is verified that the server has what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// By the server, which compares each part with its checksum; by reading the core back if the
    /// server does not.
    Sent,
    /// By reading the core back.
    ReadBack,
}

/// How many bytes a part of a core has.
fn part_bytes(core: u64) -> u64 {
    PART.max(core.div_ceil(PARTS).next_multiple_of(MIB))
}

/// Sends the core of the entry in this folder, or what is left of it.
pub(super) fn send(
    channel: &Channel,
    folder: &str,
    core: &LocalCore,
    held: &mut Held,
    rate: &mut Rate,
    verify: Verify,
) -> Result<Sent, BucketError> {
    forget_another(channel, folder, core, held);
    loop {
        let upload = match held.item.upload.clone() {
            Some(upload) => upload,
            None => begin(channel, folder, core, held)?,
        };
        let name = format!("{folder}/{}", upload.key);
        let was_begun = upload.parts.iter().any(Option::is_some);
        match send_parts(channel, &name, &upload, core, held, rate) {
            // The server has forgotten the upload: its rule for those that were not finished.
            Err(BucketError::Remote(RemoteError::NotFound { .. }))
                if !is_listed(channel, folder)? =>
            {
                return Err(BucketError::Removed { address: channel.shown(folder) });
            }
            Err(BucketError::Remote(RemoteError::NotFound { .. })) if was_begun => {
                held.item.upload = None;
                // Another host may have removed the entry and pushed it again.
                held.item.files.clear();
                held.save()?;
            }
            Err(error) => return Err(error),
            Ok(sha256) => {
                let read_back = check(channel, &name, core, held, &sha256, verify)?;
                let (key, bytes) = (upload.key, core.stamp.bytes);
                return Ok(Sent { key, bytes, sha256, read_back });
            }
        }
    }
}

/// An upload of another file, that the core was before.
fn forget_another(channel: &Channel, folder: &str, core: &LocalCore, held: &mut Held) {
    let other = held.item.upload.take_if(|upload| upload.file != core.stamp);
    if let Some(Upload { key, id: Some(id), .. }) = other {
        // What stays of it costs space until the bucket's rule removes it.
        let _ = channel.abort_upload(&format!("{folder}/{key}"), &id);
    }
}

fn begin(
    channel: &Channel,
    folder: &str,
    core: &LocalCore,
    held: &mut Held,
) -> Result<Upload, BucketError> {
    let key = format!("core-{}{}", random()?, core.ending);
    let part_bytes = part_bytes(core.stamp.bytes);
    let id = channel.begin_upload(&format!("{folder}/{key}"))?;
    let count = core.stamp.bytes.div_ceil(part_bytes).max(1);
    let parts = vec![None; usize::try_from(count).unwrap_or_default()];
    let upload = Upload { key, id: Some(id), file: core.stamp.clone(), part_bytes, parts };
    held.item.upload = Some(upload.clone());
    held.save()?;
    Ok(upload)
}

pub(super) fn random() -> Result<String, BucketError> {
    let mut bytes = [0; 8];
    let found = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    found.map_err(|error| BucketError::io("read", "/dev/urandom", error.into()))?;
    Ok(hex(&bytes))
}

/// The number of a part, and the id that the server has given it.
type PartId = (usize, String);

/// What all threads that send share.
struct Sending<'a> {
    channel: &'a Channel,
    name: &'a str,
    id: &'a str,
    source: Mutex<Source<'a>>,
    /// What went wrong first.
    failed: Mutex<Option<BucketError>>,
}

/// The core, as far as it was read.
struct Source<'a> {
    core: &'a LocalCore,
    part_bytes: u64,
    /// Whether the server has each part.
    parts: Vec<bool>,
    /// The next part.
    next: usize,
    hash: Sha256,
    rate: &'a mut Rate,
}

/// Sends the parts that the server does not have, and makes the object. Gives the file's hash.
fn send_parts(
    channel: &Channel,
    name: &str,
    upload: &Upload,
    core: &LocalCore,
    held: &mut Held,
    rate: &mut Rate,
) -> Result<String, BucketError> {
    let id = upload.id.as_deref().unwrap_or_default();
    let source = Source {
        core,
        part_bytes: upload.part_bytes,
        parts: upload.parts.iter().map(Option::is_some).collect(),
        next: 0,
        hash: Sha256::new(),
        rate,
    };
    let (source, failed) = (Mutex::new(source), Mutex::new(None));
    let sending = Sending { channel, name, id, source, failed };
    let at_once = (ON_THE_WAY / upload.part_bytes.max(1)).max(1);
    let (ids, came) = unbounded();
    thread::scope(|scope| {
        let sending = &sending;
        for _ in 0..at_once {
            let ids = ids.clone();
            scope.spawn(move || sending.work(&ids));
        }
        drop(ids);
        if let Err(error) = keep(held, &came) {
            sending.fail(error);
        }
    });
    let Sending { source, failed, .. } = sending;
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let hash = source.into_inner().unwrap_or_else(PoisonError::into_inner).hash;
    let parts = held.item.upload.as_ref().map(|upload| &upload.parts);
    let ids: Option<Vec<String>> = parts.and_then(|parts| parts.iter().cloned().collect());
    match channel.finish_upload(name, id, &ids.unwrap_or_default()) {
        // It was made already, and the answer was lost.
        Err(RemoteError::NotFound { .. }) if channel.end(name, 1).is_ok() => {}
        finished => finished?,
    }
    Ok(hex(&hash.finalize()))
}

/// Writes the ids of parts that the server has to the queue's file, until all threads that send have
/// ended.
fn keep(held: &mut Held, ids: &Receiver<PartId>) -> Result<(), BucketError> {
    while let Ok(first) = ids.recv() {
        let parts = held.item.upload.as_mut().map(|upload| &mut upload.parts);
        let parts = parts.map_or(&mut [][..], Vec::as_mut_slice);
        for (number, id) in iter::once(first).chain(ids.try_iter()) {
            if let Some(part) = parts.get_mut(number) {
                *part = Some(id);
            }
        }
        held.save()?;
    }
    Ok(())
}

impl Sending<'_> {
    /// Sends one part after another, until none is left or something failed.
    fn work(&self, ids: &Sender<PartId>) {
        while lock(&self.failed).is_none() {
            match self.send_next() {
                Ok(Some(id)) => {
                    // No thread takes it if the queue's file cannot be written: that has failed, then.
                    let _ = ids.send(id);
                }
                Ok(None) => return,
                Err(error) => return self.fail(error),
            }
        }
    }

    /// Sends the next part, if there is one, and waits until the server has it.
    fn send_next(&self) -> Result<Option<PartId>, BucketError> {
        let sent = lock(&self.source).send(self.channel, self.name, self.id)?;
        let Some(sent) = sent else { return Ok(None) };
        let id = self.channel.finish_part(self.name, &sent)?;
        Ok(Some((sent.number, id)))
    }

    fn fail(&self, error: BucketError) {
        lock(&self.failed).get_or_insert(error);
    }
}

impl Source<'_> {
    /// Sends the next part that the server does not have.
    fn send(
        &mut self,
        channel: &Channel,
        name: &str,
        id: &str,
    ) -> Result<Option<SentPart>, BucketError> {
        loop {
            let number = self.next;
            let Some(is_there) = self.parts.get(number).copied() else { return Ok(None) };
            self.next = number.saturating_add(1);
            let offset = (number as u64).saturating_mul(self.part_bytes);
            let length = self.part_bytes.min(self.core.stamp.bytes.saturating_sub(offset));
            let file = &self.core.file;
            let mut bytes =
                Hashed { file, offset, end: offset.saturating_add(length), hash: &mut self.hash };
            if is_there {
                let skipped = io::copy(&mut bytes, &mut io::sink());
                skipped.map_err(|source| BucketError::io("read", &self.core.path, source))?;
                continue;
            }
            self.rate.wait(length);
            return Ok(Some(channel.send_part(name, id, number, length, &mut bytes)?));
        }
    }
}

/// Bytes of a file that are hashed as they are read.
struct Hashed<'a> {
    file: &'a File,
    offset: u64,
    end: u64,
    hash: &'a mut Sha256,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let end = left.min(buffer.len());
        let buffer = buffer.get_mut(..end).unwrap_or_default();
        let count = self.file.read_at(buffer, self.offset)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}

/// Compares what the server has with the file: its length and its end, and all of it where the
/// server has not compared the parts, or if that is wanted. Gives whether it was all of it.
fn check(
    channel: &Channel,
    name: &str,
    core: &LocalCore,
    held: &mut Held,
    sha256: &str,
    verify: Verify,
) -> Result<bool, BucketError> {
    let now = Stamp::of(&core.file);
    if now.map_err(|source| BucketError::io("read", &core.path, source))? != core.stamp {
        forget(channel, name, held)?;
        return Err(BucketError::Changed { path: core.path.clone() });
    }
    let bytes = core.stamp.bytes;
    let mut expected = vec![0; usize::try_from(bytes.min(END)).unwrap_or_default()];
    let read = core.file.read_exact_at(&mut expected, bytes.saturating_sub(END));
    read.map_err(|source| BucketError::io("read", &core.path, source))?;
    let (length, end) = channel.end(name, END)?;
    let problem = if length != bytes {
        format!("it has {length} bytes, and {bytes} were sent")
    } else if end != expected {
        "its last bytes are others".to_owned()
    } else if verify == Verify::Sent && channel.checks_what_it_receives()? {
        return Ok(false);
    } else if hex(&channel.hash(name)?.sha256) == sha256 {
        return Ok(true);
    } else {
        "its SHA-256 is another one".to_owned()
    };
    forget(channel, name, held)?;
    Err(BucketError::Differs { address: channel.shown(name), problem })
}

/// The object is none that may be published: the next try begins anew.
pub(super) fn forget(channel: &Channel, name: &str, held: &mut Held) -> Result<(), BucketError> {
    held.item.upload = None;
    // Nothing names it, so it costs space and no more.
    let _ = channel.delete(name);
    held.save()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_of_any_length_has_less_than_ten_thousand_parts() {
        for (core, part) in
            [(1, 8), (1 << 30, 8), (72_000 << 20, 8), (72_001 << 20, 9), (1 << 40, 117)]
        {
            let bytes = part_bytes(core);
            assert_eq!(bytes, part * MIB, "{core}");
            assert!(core.div_ceil(bytes) <= PARTS, "{core}");
        }
    }
}
