//! Compresses what was stored with less work while the guest waited.
//!
//! Needs: a published entry. Gives: the same entry, as small as it would have been. Whatever
//! happens, the entry stays whole; it is then larger than it need be.

use std::path::Path;
use std::sync::Arc;

use super::core_metadata::files;
use super::finish::Finished;
use super::outcome::with_causes;
use super::session::Session;
use crate::corefile::chunk_hash::chunk_hash;
use crate::corefile::read::bytes::{Bytes, PlainFile};
use crate::corefile::read::chunked::ChunkedFile;
use crate::corefile::write::{
    OutputError, Pipeline, SpoolLimit, StoredSource, StreamOptions, tail,
};
use crate::encryption::{AgeFile, Sealed};
use crate::store::rewrite::Rewrite;
use crate::store::space::Space;
use crate::store::{StoreError, core_in};

/// Rewrites the core, if some of it got less work than was asked for.
pub(super) fn after_report(session: &mut Session<'_>, finished: &Finished) {
    let Some(entry) = finished.entry.as_ref().filter(|_| !finished.lighter.is_empty()) else {
        return;
    };
    let count = finished.lighter.len();
    session.observer.step(&format!("compressing {count} chunks that were stored in haste"));
    match rewrite(session, entry, finished.lighter.clone()) {
        Ok(true) => session.observer.step("the core is as small as it gets"),
        Ok(false) => session.observer.step("the core was not compressed to its end"),
        Err(error) => {
            let text = format!("the core is larger than it need be: {}", with_causes(&*error));
            session.observer.warning(&text);
        }
    }
}

/// Gives whether it was done: a signal ends it.
fn rewrite(
    session: &mut Session<'_>,
    entry: &Path,
    lighter: Vec<u32>,
) -> Result<bool, Box<dyn std::error::Error>> {
    let path = if entry.is_dir() { core_in(entry) } else { entry.to_owned() };
    let file =
        crate::regular_file::open(&path).map_err(|source| StoreError::io("read", &path, source))?;
    let plain: Arc<dyn Bytes> = Arc::new(PlainFile::new(file)?);
    let plain = match session.encryption() {
        Some(encryption) => Arc::new(AgeFile::with_key(plain, encryption.core().key())?),
        None => plain,
    };
    let source = StoredSource { core: Arc::new(ChunkedFile::of_bytes(plain)?), lighter };
    let (rewrite, file) = Rewrite::begin(entry)?;
    let staged = rewrite.staged().to_owned();
    let options = StreamOptions {
        level: session.request.level,
        threads: session.request.threads,
        reserve: session
            .request
            .keep_free
            .unwrap_or_else(|| Space::of(&staged).map_or(0, |space| space.default_reserve())),
        memory: session.metadata.guest.memory_bytes.unwrap_or(0),
        spool: SpoolLimit::NONE,
    };
    let sink = session.encryption().sink(file);
    let written = sink
        .and_then(|sink| Pipeline::start(source, sink, options))
        .map(|pipeline| pipeline.wait(|_| !session.interrupt.is_raised()));
    let mut written = match written {
        Ok(Some(Ok(written))) => written,
        Ok(None) => {
            rewrite.discard();
            return Ok(false);
        }
        Ok(Some(Err(OutputError::Write { source, .. }))) => {
            rewrite.discard();
            return Err(StoreError::io("write", staged, source).into());
        }
        Ok(Some(Err(OutputError::Reserve { .. }))) => {
            rewrite.discard();
            return Err("there is no space for a second copy".into());
        }
        Err(error) => {
            rewrite.discard();
            return Err(error.into());
        }
    };
    let mut metadata = session.metadata.clone();
    if let Some(core) = &mut metadata.core {
        core.bytes_written = written.table.compressed_length();
        core.chunks_sha256 = chunk_hash(&written.table);
    }
    let json = metadata.to_json();
    let completed = tail::append(&mut written, &json).and_then(|()| written.sink.sync_all());
    if let Err(source) = completed {
        rewrite.discard();
        return Err(StoreError::io("write", staged, source).into());
    }
    let bytes = rewrite.staged_bytes();
    let files = files(session, &metadata, bytes)
        .map_err(|source| StoreError::io("write", &staged, source))?;
    rewrite.publish(&files)?;
    session.metadata = metadata;
    Ok(true)
}
