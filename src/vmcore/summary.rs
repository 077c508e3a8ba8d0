//! What a core's headers and notes say, without reading guest memory.

use serde::Serialize;
use vmcore_formats::elf::Class;
use vmcore_formats::elf::note::NT_PRSTATUS;

use super::opened::Vmcore;
use crate::metadata::ClassBytes;

/// The schema of [`Summary`] as JSON.
pub const SCHEMA: &str = "vmcorectl/core/1";

/// How many names of notes are listed: a core has three or four, a hostile one millions.
const MAX_NAMES: usize = 64;

/// A core, as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// How the file stores it: for example `ELF`.
    pub format: String,
    /// Whether it is compressed into chunks that open alone.
    pub chunked: bool,
    /// `e_machine` by name, for example `x86_64`.
    pub machine: Option<&'static str>,
    /// 32 or 64.
    pub elf_class: u8,
    /// Length of the file, in bytes.
    pub file_bytes: u64,
    /// How many bytes of guest memory it describes.
    pub memory_bytes: u64,
    /// Where the memory is.
    pub memory: Vec<Range>,
    /// How much of it was left out, by the class of its pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<ClassBytes>,
    /// How many vCPUs have their registers in it.
    pub cpus: usize,
    /// The names of its notes, each once.
    pub notes: Vec<String>,
    /// The kernel's release, from its VMCOREINFO note.
    pub release: Option<String>,
    /// The kernel's build id, from its VMCOREINFO note.
    pub build_id: Option<String>,
    /// What is missing or wrong.
    pub findings: Vec<String>,
}

/// A range of guest physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// Where it begins.
    pub start: u64,
    /// How many bytes it has.
    pub length: u64,
}

impl Summary {
    /// Describes an open core.
    pub fn of(core: &Vmcore) -> Self {
        let mut findings = core.findings().to_vec();
        let (mut cpus, mut names) = (0_usize, Vec::new());
        for note in core.notes() {
            match note {
                Ok(note) => {
                    let name = String::from_utf8_lossy(note.name).into_owned();
                    if name == "CORE" && note.kind == NT_PRSTATUS {
                        cpus = cpus.saturating_add(1);
                    }
                    if names.len() < MAX_NAMES && !names.contains(&name) {
                        names.push(name);
                    }
                }
                Err(error) => findings.push(format!("the notes are damaged: {error}")),
            }
        }
        let info = core.vmcoreinfo_note();
        let value = |key| info.as_ref().and_then(|info| info.value(key)).map(str::to_owned);
        let memory: Vec<_> = core
            .memory()
            .ranges()
            .iter()
            .map(|range| Range { start: range.start.0, length: range.length })
            .collect();
        Self {
            schema: SCHEMA,
            format: core.format().to_string(),
            chunked: core.chunked().is_some(),
            machine: core.identity().machine_name(),
            elf_class: match core.identity().class {
                Class::Elf32 => 32,
                Class::Elf64 => 64,
            },
            file_bytes: core.file_bytes(),
            memory_bytes: memory.iter().fold(0, |sum, range| range.length.saturating_add(sum)),
            memory,
            left_out: core.left_out().map(ClassBytes::of).unwrap_or_default(),
            cpus,
            notes: names,
            release: value("OSRELEASE"),
            build_id: value("BUILD-ID"),
            findings,
        }
    }
}
