//! Compares a core's metadata with the file that it describes.

use std::fmt::Display;
use std::io::ErrorKind;

use serde_json::Value;
use vmcore_formats::seekable::SeekTable;

use super::opened::Vmcore;
use super::summary::Summary;
use crate::corefile::chunk_hash::chunk_hash;
use crate::corefile::read::chunked::ChunkedFile;
use crate::corefile::read::stored_metadata::{
    MetadataError, find, parse, path_beside, text_in_core,
};
use crate::metadata::Core;

/// What a comparison found, as sentences.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What contradicts the metadata.
    pub(super) problems: Vec<String>,
    /// Why the metadata was not compared with the core.
    pub(super) not_compared: Option<String>,
}

/// Compares the metadata of a core. Finds nothing if the core should have none.
pub(super) fn check(core: &Vmcore) -> Compared {
    let (mut problems, mut not_compared) = (Vec::new(), None);
    let Some(chunked) = core.chunked() else { return Compared::default() };
    match text_in_core(chunked) {
        Ok(inside) => {
            compare_with_file(core, &inside, &mut problems);
            match parse(&inside) {
                Ok(metadata) => match &metadata.core {
                    Some(described) => compare(described, core, chunked, &mut problems),
                    None => problems.push("the metadata describes no core".to_owned()),
                },
                // Not damage: this version does not know what it should say.
                Err(error @ MetadataError::OtherSchema { .. }) => {
                    not_compared = Some(format!("{error}: it was not compared with the core"));
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
        // A core that was cut off has lost it, and others never had it.
        Err(MetadataError::None) => {
            if core.findings().is_empty() && find(None, core.neighbours()).is_some() {
                let name = path_beside(core.path());
                let name = name.file_name().unwrap_or_default().display();
                problems.push(format!("the core has lost its own copy of {name}"));
            }
        }
        Err(error) => problems.push(error.to_string()),
    }
    Compared { problems, not_compared }
}

/// Compares the metadata in a core with the file beside it: what they say, not how it
/// is laid out, and whatever version wrote it.
fn compare_with_file(core: &Vmcore, inside: &[u8], problems: &mut Vec<String>) {
    let path = path_beside(core.path());
    let name = path.file_name().unwrap_or_default().display();
    match core.neighbours().metadata() {
        Ok(beside) if beside == inside || same_values(&beside, inside) => {}
        Ok(_) => problems.push(format!("{name} differs from the metadata in the core")),
        Err(error) if error.kind() == ErrorKind::NotFound && !core.neighbours().has_metadata() => {}
        Err(error) => problems.push(format!("{name} cannot be read: {error}")),
    }
}

/// Whether two JSON texts have the same fields and values, in any order.
fn same_values(one: &[u8], other: &[u8]) -> bool {
    let value = |text| serde_json::from_slice::<Value>(text).ok();
    value(one).is_some_and(|one| Some(one) == value(other))
}

fn compare(described: &Core, core: &Vmcore, chunked: &ChunkedFile, problems: &mut Vec<String>) {
    let frames = chunked.table().frames().iter();
    let table: SeekTable = frames.filter(|frame| frame.decompressed > 0).collect();
    let summary = Summary::of(core);
    let all = [
        differ("unpacked length", Some(described.bytes_core), table.decompressed_length()),
        differ("compressed length", Some(described.bytes_written), table.compressed_length()),
        differ("number of chunks", Some(described.chunks), table.len() as u64),
        differ("hash over the chunks", Some(&described.chunks_sha256), &chunk_hash(&table)),
        differ("ELF class", described.elf_class, summary.elf_class),
        differ("machine", described.machine.as_deref(), summary.machine.unwrap_or("unknown")),
        differ("number of segments", described.segments, core.segments().len()),
        differ("number of vCPUs with registers", described.cpus, summary.cpus),
    ];
    problems.extend(all.into_iter().flatten());
}

/// A problem, if the metadata says something else than what is found.
fn differ<T: PartialEq + Display>(what: &str, says: Option<T>, is: T) -> Option<String> {
    let says = says.filter(|says| *says != is)?;
    Some(format!("the metadata says that the {what} is {says}, and it is {is}"))
}
