//! A file with debug symbols that is linked, and the lines in it.
//!
//! The sections that the lines need are read into memory when the file is opened, and those of
//! the others are not: a file that is cut off meanwhile is an error, where a mapping of it would
//! end the program by SIGBUS. A vmlinux of 590 MB has 190 MB of them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use addr2line::{Context, FrameIter};
use gimli::{AbbreviationsCacheStrategy, Dwarf, EndianRcSlice, LittleEndian, Reader, SectionId};
use object::read::elf::ElfFile64;
use object::{CompressionFormat, Object, ObjectSection, ReadCache};

use super::{SourceLine, SourceLinesError};
use crate::regular_file;

/// The most functions that are inlined into one another.
const MAX_INLINED: usize = 64;

/// A debug section in memory.
pub(super) type Section = EndianRcSlice<LittleEndian>;
type Elf<'a> = ElfFile64<'a, object::LittleEndian, &'a ReadCache<&'a File>>;

/// The lines of a file.
pub(super) struct LinesFile {
    context: Context<Section>,
}

impl LinesFile {
    /// Opens it.
    ///
    /// # Errors
    /// Fails if it cannot be read, or has no debug symbols.
    pub(super) fn open(path: &Path) -> Result<Self, SourceLinesError> {
        Self::read(path).map_err(|problem| SourceLinesError { path: path.to_owned(), problem })
    }

    fn read(path: &Path) -> Result<Self, String> {
        let file = regular_file::open(path).map_err(|error| error.to_string())?;
        let cache = ReadCache::new(&file);
        let elf = Elf::parse(&cache).map_err(|error| error.to_string())?;
        if elf.section_by_name(".debug_info").is_none() {
            return Err("it has no debug symbols".to_owned());
        }
        let mut dwarf = Dwarf::load(|id| section(&elf, &file, id))?;
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        let context = Context::from_dwarf(dwarf).map_err(|error| error.to_string())?;
        Ok(Self { context })
    }

    /// The lines of an address of the file: that of the innermost inlined function first, that
    /// of the function itself last. Files are as the compiler recorded them.
    pub(super) fn at(&self, probe: u64) -> Vec<SourceLine> {
        self.context.find_frames(probe).skip_all_loads().map(lines).unwrap_or_default()
    }
}

/// A section, or nothing where the file has none of the name.
fn section(elf: &Elf<'_>, file: &File, id: SectionId) -> Result<Section, String> {
    let Some(section) = elf.section_by_name(id.name()) else {
        return Ok(Section::new(Rc::from([]), LittleEndian));
    };
    let failed = |problem: String| format!("section {}: {problem}", id.name());
    let range = section.compressed_file_range().map_err(|error| failed(error.to_string()))?;
    let bytes = if range.format == CompressionFormat::None {
        let length = file.metadata().map_err(|error| failed(error.to_string()))?.len();
        if range.compressed_size > length {
            return Err(failed(format!(
                "of {} bytes, in a file of {length}",
                range.compressed_size
            )));
        }
        let size = usize::try_from(range.compressed_size).unwrap_or_default();
        let mut bytes: Rc<[u8]> = std::iter::repeat_n(0, size).collect();
        // There is no other reference to it yet.
        let into = Rc::get_mut(&mut bytes).unwrap_or_default();
        file.read_exact_at(into, range.offset).map_err(|error| failed(error.to_string()))?;
        bytes
    } else {
        let bytes = section.uncompressed_data().map_err(|error| failed(error.to_string()))?;
        Rc::from(&*bytes)
    };
    Ok(Section::new(bytes, LittleEndian))
}

/// Of the functions that are inlined at an address each one's line.
pub(super) fn lines<R: Reader>(mut found: FrameIter<'_, R>) -> Vec<SourceLine> {
    let mut lines = Vec::new();
    while let Ok(Some(frame)) = found.next()
        && lines.len() < MAX_INLINED
    {
        let name = frame.function.and_then(|name| Some(name.raw_name().ok()?.into_owned()));
        let location = frame.location;
        lines.push(SourceLine {
            function: name,
            file: location.as_ref().and_then(|at| at.file).map(tidy),
            line: location.and_then(|at| at.line),
        });
    }
    lines
}

/// A path without the steps back in it that build directories lead to.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "..")) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_back_are_taken() {
        assert_eq!(tidy("/build/linux/debian/../kernel/./panic.c"), "/build/linux/kernel/panic.c");
        assert_eq!(tidy("../../kernel/panic.c"), "../../kernel/panic.c");
    }

    /// An ELF file of 1 KiB, of which one section is `.debug_info`, of that many bytes from 256 on.
    fn file_with_debug_info(size: u64) -> tempfile::NamedTempFile {
        let names = b"\0.debug_info\0.shstrtab\0";
        let mut elf = vec![0; 1024];
        let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        // An executable of x86-64, version 1, with three section headers from 512 on.
        put(16, &[2, 0, 62, 0, 1, 0, 0, 0]);
        put(40, &512_u64.to_le_bytes());
        put(52, &[64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
        put(128, names);
        let sections = [(1_u32, 1_u32, 256_u64, size), (13, 3, 128, names.len() as u64)];
        for (at, (name, kind, offset, size)) in [576, 640].into_iter().zip(sections) {
            put(at, &name.to_le_bytes());
            put(at + 4, &kind.to_le_bytes());
            put(at + 24, &offset.to_le_bytes());
            put(at + 32, &size.to_le_bytes());
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), elf).unwrap();
        file
    }

    #[test]
    fn a_section_that_is_cut_off_is_an_error() {
        for (size, why) in [
            (0, None),
            (769, Some("failed to fill whole buffer")),
            (1 << 40, Some("of 1099511627776 bytes, in a file of 1024")),
            (u64::MAX, Some("in a file of 1024")),
        ] {
            let file = file_with_debug_info(size);
            match (LinesFile::open(file.path()), why) {
                (Ok(lines), None) => assert!(lines.at(0x1000).is_empty()),
                (Err(error), Some(why)) => {
                    let text = error.to_string();
                    assert!(text.contains("section .debug_info") && text.contains(why), "{text}");
                }
                (outcome, _) => panic!("{size}: {:?}", outcome.err()),
            }
        }
    }

    #[test]
    fn a_file_without_symbols_is_refused_with_its_name() {
        let program = std::env::current_exe().unwrap();
        let folder = program.parent().unwrap();
        let Err(error) = LinesFile::open(folder) else { panic!("a folder has no lines") };
        assert!(error.to_string().contains("no lines of source"), "{error}");
    }
}
