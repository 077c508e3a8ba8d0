//! The core file in the metadata.

use std::io;
use std::path::Path;

use vmcore_formats::elf::Class;

use super::attempt::Attempt;
use super::outcome::with_causes;
use super::session::Session;
use crate::corefile::chunk_hash::chunk_hash;
use crate::corefile::write::{CHUNK, Pipeline, Written};
use crate::encryption::Sealed;
use crate::metadata::{Core, Metadata, MetadataFiles};
use crate::store::staging::Staging;
use crate::store::{core_hash, core_in};

/// Notes what was left out of the dump, and warns of what makes its contents doubtful.
pub(super) fn warn_of_contents(session: &mut Session<'_>, attempt: &Attempt) {
    let Some(summary) = attempt.stream.as_ref().and_then(|stream| stream.summary.as_ref()) else {
        return;
    };
    if !summary.notes.consistent {
        session.warn(
            "the sizes of QEMU's notes contradict its headers: memory may be shifted in this core"
                .to_owned(),
        );
    }
    if let Some(record) = &summary.left_out {
        session.metadata.set_left_out(record);
    }
    if summary.trailing_sections > 0 {
        session.warn(format!(
            "QEMU dumped {} bytes in sections behind the memory, which are not in this core",
            summary.trailing_sections
        ));
    }
}

/// The metadata's files. What stays in the clear of an encrypted entry has title and signature of
/// the report, as soon as there is one.
pub(super) fn files(
    session: &Session<'_>,
    metadata: &Metadata,
    core_file_bytes: Option<u64>,
) -> io::Result<MetadataFiles> {
    let mut files = session.encryption().metadata_files(metadata, core_file_bytes)?;
    if let Some(clear) = in_the_clear(session, metadata, core_file_bytes) {
        files.clear = clear;
    }
    Ok(files)
}

/// What stays in the clear of an encrypted entry whose report was made.
pub(super) fn in_the_clear(
    session: &Session<'_>,
    metadata: &Metadata,
    core_file_bytes: Option<u64>,
) -> Option<Vec<u8>> {
    let (encryption, report) = (session.encryption()?, session.report.as_ref()?);
    let mut metadata = metadata.clone();
    metadata.title = Some(report.title.clone());
    metadata.signature.clone_from(&report.signature);
    Some(encryption.clear(&metadata, core_file_bytes))
}

/// Records the hash of an encrypted core that has its last form, and whose guest waits no more.
pub(super) fn record_hash(session: &Session<'_>, entry: Option<&Path>) {
    let (Some(_), Some(entry)) = (session.encryption(), entry) else { return };
    let core = if entry.is_dir() { core_in(entry) } else { entry.to_owned() };
    if let Err(error) = core_hash::record(&core, &|| session.interrupt.is_raised()) {
        let text = format!("no SHA-256 of the encrypted core: {}", with_causes(&error));
        session.observer.warning(&text);
    }
}

/// Describes what is in the file.
pub(super) fn describe(attempt: &Attempt, written: &Written, staging: &Staging) -> Core {
    let stream = attempt.stream.as_ref();
    let summary = stream.and_then(|stream| stream.summary.as_ref());
    let identity = summary.map(|summary| summary.identity);
    let file = staging.core_file().file_name().unwrap_or_default();
    Core {
        file: file.to_string_lossy().into_owned(),
        format: "elf+zstd-seekable".to_owned(),
        machine: identity.and_then(|identity| identity.machine_name()).map(str::to_owned),
        endianness: identity.map(|identity| identity.endian.name().to_owned()),
        elf_class: identity.map(|identity| match identity.class {
            Class::Elf32 => 32,
            Class::Elf64 => 64,
        }),
        bytes_read: stream.map_or(0, |stream| stream.bytes_read),
        bytes_expected: summary.map(|summary| summary.stream_length),
        bytes_core: written.table.decompressed_length(),
        bytes_written: written.table.compressed_length(),
        zero_bytes: attempt.pipeline.as_ref().map_or(0, Pipeline::zero_bytes),
        chunk_bytes: CHUNK as u64,
        chunks: written.table.len() as u64,
        segments: summary.map(|summary| summary.segments),
        cpus: summary.map(|summary| summary.notes.cpus),
        vmcoreinfo: summary.map(|summary| summary.notes.vmcoreinfo),
        kernel_release: summary.and_then(|summary| summary.notes.release.clone()),
        kernel_build_id: summary.and_then(|summary| summary.notes.build_id.clone()),
        chunks_sha256: chunk_hash(&written.table),
    }
}
