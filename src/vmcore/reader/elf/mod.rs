//! An ELF core: its headers, notes and memory.

mod memory;

use std::sync::Arc;

use vmcore_formats::elf::core_head::{CoreHeader, CoreTable, FileRange, HEADER_LENGTH};
use vmcore_formats::elf::dump_head::DumpHeadError;

use super::ReadError;
use crate::corefile::read::bytes::{Bytes, read_vec};
use crate::vmcore::dump::{Dump, MAX_NOTES};
use crate::vmcore::memory::PhysMemory;
pub(super) use memory::ElfMemory;

/// Opens a file that begins with `\x7fELF`.
pub(super) fn open(bytes: Arc<dyn Bytes>) -> Result<Dump, ReadError> {
    let part = |range: FileRange| read_vec(&*bytes, range.offset, range.length);
    let first = read_vec(&*bytes, 0, bytes.length().min(HEADER_LENGTH as u64))?;
    let header = CoreHeader::decode(&first)?;
    let section = header.extended_count().map(part).transpose()?;
    let table = part(header.table(section.as_deref())?)?;
    let table = CoreTable::decode(&table, header.identity)?;

    let mut findings = Vec::new();
    let mut notes = Vec::new();
    for range in &table.notes {
        if (notes.len() as u64).saturating_add(range.length) > MAX_NOTES {
            findings.push(format!("notes of {:#x} bytes were not read: too long", range.length));
            continue;
        }
        match part(*range) {
            Ok(bytes) => notes.extend(bytes),
            Err(error) => findings.push(format!("notes cannot be read: {error}")),
        }
    }
    let memory = ElfMemory::new(Arc::clone(&bytes), &table.segments);
    if memory.ranges().is_empty() {
        return Err(DumpHeadError::NoMemory.into());
    }
    let (truncated, excluded) = (memory.truncated(), memory.excluded());
    if truncated > 0 {
        findings.push(format!("{truncated} bytes of memory are missing at the end of the file"));
    }
    if excluded > 0 {
        findings.push(format!(
            "{excluded} bytes of memory were left out when the core was written: zero pages, or what was filtered"
        ));
    }
    Ok(Dump {
        format: "ELF".to_owned(),
        identity: header.identity,
        notes,
        memory: Arc::new(memory),
        segments: table.segments,
        elf: Some(bytes),
        findings,
    })
}
