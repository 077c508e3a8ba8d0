//! A vmlinux made out of a core: the file that debuggers want of the kernel.
//!
//! ```text
//! kallsyms ──► linked ──► symbol_table   .symtab, .strtab
//!                │   └──► sections       .text, .data ..., by their first and last symbols
//! BTF ──► dwarf ─┤                       .debug_info: types, functions, variables
//! memory ────────┴──► elf                the file; what memory does not have is a hole
//! a module ──────► module                the file of one, by the same parts
//! ```
//!
//! Needs: a kernel with its symbols. Gives: an ELF file at link-time addresses, which crash, drgn
//! and gdb take for the vmlinux of the kernel's build. Without BTF it has no types, and says so.
//! All of it comes from a guest: names are harmless, numbers are bounded, what contradicts itself
//! is left out, and a finding.

mod dwarf;
mod elf;
mod globals;
mod isf;
mod linked;
mod module;
mod relocatable;
mod sections;
mod symbol_table;
mod system_map;
pub mod types_alone;

pub use isf::{Isf, IsfError};
pub use module::{MadeModule, digest_module};
pub use system_map::system_map;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::elf as format;
use sha2::{Digest, Sha256};
use thiserror::Error;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::elf::build_id::BuildId;
use vmcore_formats::elf::note::Note;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::Paging;

use crate::kernel::{Kernel, SymbolsError, identity};
use dwarf::Dwarf;
use elf::{Extra, Layout};
use linked::Linked;
use sections::{Content, Section};

/// How much of the image is read at once.
const PIECE: u64 = 1 << 20;
const PAGE: u64 = 4096;
/// Where x86-64 maps physical address 0 for its image.
const X86_64_IMAGE_MAP: u64 = 0xffff_ffff_8000_0000;
/// The name of the note that says how the file was made.
const NOTE: &[u8] = b"vmcorectl";
/// `n_type` of a build id.
const NT_GNU_BUILD_ID: u32 = 3;

/// How much of the image's memory is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// All of it, as it was when the guest stopped.
    Memory,
    /// What each boot of the same build has: the file may be used for other cores, too.
    Build,
}

/// Why no vmlinux can be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VmlinuxError {
    /// The kernel has no symbols.
    #[error("no vmlinux can be made of this core: {0}")]
    Symbols(#[from] SymbolsError),
    /// Its code is not where it could be.
    #[error(
        "no vmlinux can be made of this core: its symbols do not say where the kernel's code is"
    )]
    NoCode,
    /// A module is not where it could be.
    #[error("no file can be made of the module: where its sections are is not known")]
    NoSections,
    /// No such file was ever needed.
    #[error("no vmlinux can be made of this core: its kernel is big-endian")]
    BigEndian,
    /// It cannot be kept for others.
    #[error("the kernel has no build id, by which its vmlinux could be found again")]
    NoBuildId,
    /// It cannot be written.
    #[error("cannot write the vmlinux")]
    Io(#[from] io::Error),
}

/// A vmlinux that was made, but for the memory that it is filled with.
#[derive(Debug)]
pub struct MadeVmlinux<'k> {
    kernel: &'k Kernel,
    machine: format::Machine,
    image: Vec<Section>,
    extra: Vec<Extra>,
    layout: Layout,
    offset: u64,
    findings: Vec<String>,
    notes: Vec<String>,
    has_types: bool,
    build_id: Option<BuildId>,
}

impl<'k> MadeVmlinux<'k> {
    /// Makes it.
    ///
    /// # Errors
    /// Fails if the kernel has no symbols. Without types, [`Self::has_types`] is false.
    pub fn of(kernel: &'k Kernel) -> Result<Self, VmlinuxError> {
        if kernel.space.endian() != Endian::Little {
            return Err(VmlinuxError::BigEndian);
        }
        kernel.read_symbols_and_types();
        let symbols = kernel.symbols().map_err(Clone::clone)?;
        let linked = Linked::of(kernel, symbols);
        let image = sections::sections(kernel, &linked);
        if !image.iter().any(|section| section.content == Content::Code) {
            return Err(VmlinuxError::NoCode);
        }
        let sizes = linked.sizes();
        let mut findings = symbols.findings().to_vec();
        if linked.left_out > 0 {
            let count = linked.left_out;
            findings.push(format!("{count} symbols were left out: their names are not valid"));
        }
        let btf = kernel.types().ok().and_then(|types| types.btf());
        findings.extend(kernel.types_findings().iter().cloned());
        let read = |at: u64, length: u64| {
            let at = VirtAddr(at.wrapping_add(linked.offset));
            kernel.space.read_vec(at, usize::try_from(length).ok()?).ok()
        };
        let debug = btf.map(|btf| {
            debug_information(btf, &linked, &sizes, &image, identity::hz(kernel), &read)
        });
        let has_types = debug.is_some();
        let build_id = symbols.build_id().and_then(|id| id.parse::<BuildId>().ok());
        if build_id.is_none() {
            findings.push("the kernel has no build id: debuggers may refuse its file".to_owned());
        }
        let mut extra = vec![notes(build_id.as_ref(), has_types)];
        let (table, first) = symbol_table::section(&linked, &sizes, &image);
        let strtab = image.len().saturating_add(extra.len()).saturating_add(2);
        extra.push(Extra {
            name: ".symtab",
            kind: format::SHT_SYMTAB,
            bytes: table,
            link: u32::try_from(strtab).unwrap_or_default(),
            info: first,
            entry_size: 24,
            align: 8,
        });
        let offset = linked.offset;
        let names = linked.names;
        extra.push(Extra { kind: format::SHT_STRTAB, ..Extra::plain(".strtab", names) });
        let mut notes_on_variables = Vec::new();
        if let Some(debug) = debug {
            notes_on_variables = debug.notes;
            findings.extend(debug.sections.findings);
            extra.extend(
                debug.sections.sections.into_iter().map(|(name, bytes)| Extra::plain(name, bytes)),
            );
        }
        // As the linker has it, not where this boot has it.
        let (machine, map) = match kernel.space.paging() {
            Paging::X86_64(_) => (format::EM_X86_64, X86_64_IMAGE_MAP),
            Paging::Arm64(_) => (format::EM_AARCH64, 0),
        };
        let physical = |at: u64| at.checked_sub(map).unwrap_or(at);
        let layout = Layout::new(&image, &extra, Some(0), physical);
        Ok(Self {
            kernel,
            machine,
            image,
            extra,
            layout,
            offset,
            findings,
            notes: notes_on_variables,
            has_types,
            build_id,
        })
    }

    /// What is missing or wrong, as sentences.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Which variables have no type that fits, as sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether it has types, and with them variables and prototypes.
    pub fn has_types(&self) -> bool {
        self.has_types
    }

    /// A name for what each boot of its build has: the build id, and a digest of all that is
    /// written of it. A guest may claim any build id.
    ///
    /// # Errors
    /// Fails if the kernel has no build id.
    pub fn name(&self) -> Result<String, VmlinuxError> {
        let id = self.build_id.as_ref().ok_or(VmlinuxError::NoBuildId)?;
        let mut digest = Sha256::new();
        for section in &self.extra {
            digest.update(section.name);
            digest.update((section.bytes.len() as u64).to_le_bytes());
            digest.update(&section.bytes);
        }
        for section in &self.image {
            digest.update(section.name);
            digest.update(section.at.to_le_bytes());
            digest.update(section.length.to_le_bytes());
            if section.content == Content::Table {
                let at = VirtAddr(section.at.wrapping_add(self.offset));
                let length = usize::try_from(section.length).unwrap_or_default();
                digest.update(self.kernel.space.read_vec(at, length).unwrap_or_default());
            }
        }
        let digest = digest.finalize();
        let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{id}-{digits}"))
    }

    /// Writes it to an empty file. Gives how many bytes of memory were missing.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write(&self, contents: Contents, file: &File) -> Result<u64, VmlinuxError> {
        self.layout.write(self.machine, &self.image, &self.extra, file)?;
        let mut missing = 0_u64;
        for (section, offset) in self.image.iter().zip(&self.layout.image) {
            let all = contents == Contents::Memory;
            let wanted = match section.content {
                Content::Table => true,
                Content::Code | Content::Constant | Content::Data => all,
                Content::Freed | Content::Zeros => false,
            };
            if wanted {
                missing = missing.saturating_add(self.copy(section, *offset, file)?);
            }
        }
        if contents == Contents::Build {
            self.copy_banner(file)?;
        }
        Ok(missing)
    }

    /// Copies memory, and leaves holes for what is zero or missing.
    fn copy(&self, section: &Section, offset: u64, file: &File) -> io::Result<u64> {
        let (mut skip, mut missing) = (0, 0_u64);
        while skip < section.length {
            let at = VirtAddr(section.at.wrapping_add(self.offset).wrapping_add(skip));
            let to_page = PAGE.saturating_sub(at.0 % PAGE);
            let left = section.length.saturating_sub(skip);
            let piece = PIECE.saturating_sub(at.0 % PIECE).min(left);
            let length = usize::try_from(piece).unwrap_or_default();
            if let Ok(bytes) = self.kernel.space.read_vec(at, length) {
                file.write_all_at(&bytes, offset.saturating_add(skip))?;
                skip = skip.saturating_add(piece);
                continue;
            }
            // Page by page, up to the end of what could not be read at once.
            let end = skip.saturating_add(piece);
            let mut page = to_page.min(left);
            while skip < end {
                let at = VirtAddr(section.at.wrapping_add(self.offset).wrapping_add(skip));
                let length = usize::try_from(page).unwrap_or_default();
                match self.kernel.space.read_vec(at, length) {
                    Ok(bytes) => file.write_all_at(&bytes, offset.saturating_add(skip))?,
                    Err(_) => missing = missing.saturating_add(page),
                }
                skip = skip.saturating_add(page);
                page = PAGE.min(end.saturating_sub(skip));
            }
        }
        Ok(missing)
    }

    /// crash compares the kernel's banner with the core's.
    fn copy_banner(&self, file: &File) -> io::Result<()> {
        const LENGTH: u64 = 512;
        let Some(at) = self.kernel.symbol("linux_banner") else { return Ok(()) };
        let linked = at.0.wrapping_sub(self.offset);
        let mut all = self.image.iter().zip(&self.layout.image);
        let Some((section, offset)) = all.find(|(section, _)| section.contains(linked)) else {
            return Ok(());
        };
        let length = LENGTH.min(section.end().saturating_sub(linked));
        let Ok(bytes) = self.kernel.space.read_vec(at, usize::try_from(length).unwrap_or(0)) else {
            return Ok(());
        };
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        let skip = linked.saturating_sub(section.at);
        file.write_all_at(bytes.get(..end).unwrap_or_default(), offset.saturating_add(skip))
    }
}

/// All of `.debug_*`, and what was left out of it.
struct Debug {
    sections: dwarf::Sections,
    notes: Vec<String>,
}

/// Writes the debug information.
fn debug_information(
    btf: &vmcore_formats::btf::Btf,
    linked: &Linked,
    sizes: &[u64],
    image: &[Section],
    hz: Option<u64>,
    read: &dyn Fn(u64, u64) -> Option<Vec<u8>>,
) -> Debug {
    let code = image.iter().filter(|section| section.is_code());
    let code: Vec<_> = code.map(|one| one.at..one.end()).collect();
    let mut dwarf = Dwarf::of_kernel(btf, code.clone());
    dwarf.functions(linked.functions(sizes, &code));
    // crash learns HZ from a constant of the I/O scheduler, and has a wrong uptime without it.
    if let Some(hz) = hz.and_then(|hz| i64::try_from(hz).ok()) {
        dwarf.constant("write_expire", hz.saturating_mul(5));
    }
    let notes = globals::write(&mut dwarf, btf, linked, sizes, &code, read);
    Debug { notes, sections: dwarf.finish() }
}

/// The notes: the build id, and how the file was made.
fn notes(build_id: Option<&BuildId>, has_types: bool) -> Extra {
    let types = if has_types {
        "symbols and types are the kernel's own (kallsyms, BTF), out of a core"
    } else {
        "symbols are the kernel's own (kallsyms), out of a core; it has no BTF, so there are no types"
    };
    let text = format!("made by vmcorectl {}: {types}", env!("CARGO_PKG_VERSION"));
    let id =
        build_id.map(|id| Note { name: b"GNU", kind: NT_GNU_BUILD_ID, descriptor: id.bytes() });
    let own = Note { name: NOTE, kind: 1, descriptor: text.as_bytes() };
    let all = id.into_iter().chain([own]);
    let bytes = all.filter_map(|note| note.encode(Endian::Little)).flatten().collect();
    Extra { kind: format::SHT_NOTE, align: 4, ..Extra::plain(".note.gnu.build-id", bytes) }
}
