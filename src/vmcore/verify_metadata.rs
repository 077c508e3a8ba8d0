//! Compares a core's metadata with the file that it describes.

use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;

use vmcore_formats::seekable::SeekTable;

use super::metadata;
use super::open::Vmcore;
use super::summary::Summary;
use crate::corefile::read::chunked::ChunkedFile;
use crate::metadata::Core;
use crate::store::CORE_FILE;

/// What contradicts the metadata, as sentences. Nothing if there is none.
pub(super) fn contradictions(core: &Vmcore) -> Vec<String> {
    let mut found = Vec::new();
    let Some(chunked) = core.chunked.as_deref() else { return found };
    let inside = match metadata::of(chunked) {
        Ok(inside) => inside,
        Err(metadata::MetadataError::None) => {
            // A core that was cut off has lost it, and others never had it.
            if core.findings.is_empty() && metadata::beside(&core.path).is_some() {
                found.push("the core has lost the metadata that stands beside it".to_owned());
            }
            return found;
        }
        Err(error) => return vec![error.to_string()],
    };
    let beside = metadata::path_beside(&core.path);
    let name = beside.file_name().unwrap_or_default().display();
    match fs::read(&beside) {
        Ok(text) if text == inside.to_json() => {}
        Ok(_) => found.push(format!("{name} is not what the core says of itself")),
        // A core in a file of its own tells its story without another one.
        Err(error) if error.kind() == ErrorKind::NotFound && !is_entry(core) => {}
        Err(error) => found.push(format!("{name} cannot be read: {error}")),
    }
    match &inside.core {
        Some(described) => compare(described, core, chunked, &mut found),
        None => found.push("the metadata describes no core".to_owned()),
    }
    found
}

fn is_entry(core: &Vmcore) -> bool {
    core.path.file_name().is_some_and(|name| name == CORE_FILE)
}

fn compare(described: &Core, core: &Vmcore, chunked: &ChunkedFile, found: &mut Vec<String>) {
    let frames = chunked.table().frames().iter();
    let table: SeekTable = frames.filter(|frame| frame.decompressed > 0).collect();
    let summary = Summary::of(core);
    let mut differ = |what: &str, says: Option<&dyn Display>, is: &dyn Display| {
        if let Some(says) = says
            && says.to_string() != is.to_string()
        {
            found.push(format!("the metadata says that the {what} is {says}, and it is {is}"));
        }
    };
    differ("unpacked length", Some(&described.bytes_core), &table.decompressed_length());
    differ("compressed length", Some(&described.bytes_written), &table.compressed_length());
    differ("number of chunks", Some(&described.chunks), &table.len());
    differ(
        "hash over the chunks",
        Some(&described.chunks_sha256),
        &metadata::hash_of_chunks(&table),
    );
    let known = described.elf_class.as_ref().map(|class| class as &dyn Display);
    differ("ELF class", known, &summary.elf_class);
    let known = described.machine.as_ref().map(|machine| machine as &dyn Display);
    differ("machine", known, &summary.machine.unwrap_or("unknown"));
    let known = described.segments.as_ref().map(|segments| segments as &dyn Display);
    differ("number of segments", known, &core.segments.len());
    let known = described.cpus.as_ref().map(|cpus| cpus as &dyn Display);
    differ("number of vCPUs with registers", known, &summary.cpus);
}
