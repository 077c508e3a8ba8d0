//! The translation of a virtual address.
//!
//! ```text
//! 0xffffffff85862560 by the tables at 0x7410000 (x86-64, 5 levels)
//!   PGD [511]  0x7410ff8    0x0000000007415067  table at 0x7415000
//!   ...
//!   PMD [44]   0x7417160    0x80000000054001e3  maps 2 MiB at 0x5400000: writable, kernel, ...
//! 0xffffffff85862560 is at 0x5862560, in the core
//! ```

use std::io::{self, Write};

use serde::Serialize;
use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::paging::{Entry, Paging};

use super::json::{hex, hex_if_known};
use crate::kernel::page_tables::{AddressSpace, Step, Walk};
use crate::printable::shown;
use crate::units::bytes;
use crate::vmcore::MemoryError;

/// The schema of [`Translation`] as JSON.
pub const SCHEMA: &str = "vmcorectl/translation/1";

/// A translation with its steps.
#[derive(Debug, Serialize)]
pub struct Translation {
    schema: &'static str,
    #[serde(serialize_with = "hex")]
    address: u64,
    tables: String,
    #[serde(serialize_with = "hex")]
    root: u64,
    steps: Vec<TableRow>,
    #[serde(serialize_with = "hex_if_known")]
    physical: Option<u64>,
    page_bytes: Option<u64>,
    /// `in the core`, `absent`, `excluded`, `truncated` or `damaged`.
    page: Option<&'static str>,
    /// Why there is no memory to read.
    problem: Option<String>,
}

/// An entry of a page table.
#[derive(Debug, Serialize)]
struct TableRow {
    level: &'static str,
    index: u64,
    #[serde(serialize_with = "hex")]
    entry: u64,
    #[serde(serialize_with = "hex")]
    value: u64,
    meaning: &'static str,
    #[serde(serialize_with = "hex_if_known")]
    next: Option<u64>,
    covers: u64,
    flags: Vec<&'static str>,
}

impl Translation {
    /// The translation of an address by these tables, and the result of reading its byte.
    pub fn new(
        space: &AddressSpace,
        at: VirtAddr,
        walk: &Walk,
        read: Option<&Result<(), MemoryError>>,
    ) -> Self {
        let mapping = walk.outcome.as_ref().ok();
        let not_mapped = walk.outcome.as_ref().err().map(ToString::to_string);
        let not_read = read.and_then(|read| read.as_ref().err()).map(ToString::to_string);
        Self {
            schema: SCHEMA,
            address: at.0,
            tables: format(space.paging()),
            root: space.root().0,
            steps: walk.steps.iter().map(|step| line(space.paging(), step)).collect(),
            physical: mapping.map(|mapping| mapping.translate(at).0),
            page_bytes: mapping.map(|mapping| mapping.length),
            page: read.map(|read| match read {
                Ok(()) => "in the core",
                Err(MemoryError::Absent { .. }) => "absent",
                Err(MemoryError::Excluded { .. } | MemoryError::LeftOut { .. }) => "excluded",
                Err(MemoryError::Truncated { .. }) => "truncated",
                Err(MemoryError::Damaged { .. }) => "damaged",
            }),
            problem: not_mapped.or(not_read),
        }
    }
}

/// Prints a translation, a line for each step.
pub fn text(translation: &Translation, out: &mut dyn Write) -> io::Result<()> {
    let at = VirtAddr(translation.address);
    let root = PhysAddr(translation.root);
    writeln!(out, "{at} by the tables at {root} ({})", translation.tables)?;
    for line in &translation.steps {
        let flags = match line.flags.join(", ") {
            flags if flags.is_empty() => flags,
            flags => format!(": {flags}"),
        };
        let meaning = match line.next {
            Some(next) if line.meaning == "page" => {
                format!("maps {} at {next:#x}", bytes(line.covers))
            }
            Some(next) => format!("{} at {next:#x}", line.meaning),
            None => line.meaning.to_owned(),
        };
        let index = format!("[{}]", line.index);
        let entry = PhysAddr(line.entry).to_string();
        writeln!(
            out,
            "  {} {index:<6} {entry:<14} {:#018x}  {meaning}{flags}",
            line.level, line.value
        )?;
    }
    match (&translation.physical, &translation.problem) {
        (Some(physical), None) => writeln!(out, "{at} is at {physical:#x}, in the core"),
        (Some(physical), Some(problem)) => {
            writeln!(out, "{at} is at {physical:#x}: {}", shown(problem))
        }
        (None, problem) => {
            writeln!(out, "{}", shown(problem.as_deref().unwrap_or("it is not mapped")))
        }
    }
}

fn line(paging: Paging, step: &Step) -> TableRow {
    let (meaning, next) = match step.meaning {
        Entry::Table(table) => ("table", Some(table.0)),
        Entry::Page(page) => ("page", Some(page.0)),
        Entry::NotPresent if step.value == 0 => ("empty", None),
        // The bits are then the kernel's own: a swapped page, a migration, PROT_NONE.
        Entry::NotPresent => ("not present", None),
        Entry::Invalid => ("invalid", None),
    };
    TableRow {
        level: step.level.name,
        index: step.index,
        entry: step.entry.0,
        value: step.value,
        meaning,
        next,
        covers: step.level.span(),
        flags: paging.flags(&step.level, step.value),
    }
}

fn format(paging: Paging) -> String {
    let machine = match paging {
        Paging::X86_64(_) => "x86-64",
        Paging::Arm64(_) => "arm64",
    };
    let levels = paging.levels();
    let page = levels.last().map_or(0, vmcore_formats::paging::Level::span);
    format!("{machine}, {} levels, pages of {}", levels.len(), bytes(page))
}
