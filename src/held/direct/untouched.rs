//! Pages of a process that were never written: zeros that need not be read.
//!
//! ```text
//! private, without a file   the page table has no entry: nothing was read or written
//! tmpfs or memfd, shared    a hole of the file
//! the same, private         both
//! all else                  has to be read
//! ```
//!
//! A read of such a page gives it an entry, so the question comes before the read. Nothing of
//! this needs the numbers of pages, which the system shows to few.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use rustix::fs::{SeekFrom, fstatfs, major, minor, seek};
use rustix::io::Errno;
use vmcore_formats::process_map::{MappedFile, Mapping};

use super::process::QemuProcess;

/// What `statfs` calls tmpfs, memfd's file system, too.
const TMPFS: u64 = 0x0102_1994;
/// An entry of the page map: the page is in memory, or in swap.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// How long an entry is, in bytes.
const ENTRY: usize = 8;
/// How much of a page map is read at once, in entries.
const ENTRIES: usize = 4096;

/// How the pages of a mapping tell that they were never written.
#[derive(Clone, Debug)]
pub(super) struct Untouched {
    /// The process's page map, where a page without an entry in it is one.
    pages: Option<Arc<File>>,
    /// The file, where a hole in it is one.
    file: Option<Holes>,
    page: u64,
}

/// A mapped file.
#[derive(Clone, Debug)]
struct Holes {
    file: Arc<File>,
    /// What is to be added to an address for the offset in the file.
    start: u64,
    offset: u64,
}

impl Untouched {
    /// What can be said of a mapping.
    pub(super) fn of(process: &QemuProcess, mapping: &Mapping, pages: Option<&Arc<File>>) -> Self {
        let file = mapping.file.map(|file| Holes::of(process, mapping, file));
        let (pages, file) = match file {
            None => (pages.filter(|_| !mapping.shared).map(Arc::clone), None),
            // Its contents have to be read.
            Some(None) => (None, None),
            Some(file) if mapping.shared => (None, file),
            Some(file) => match pages {
                Some(pages) => (Some(Arc::clone(pages)), file),
                None => (None, None),
            },
        };
        Self { pages, file, page: rustix::param::page_size() as u64 }
    }

    /// How many bytes from `at` on, `most` at most, are of pages that were never written; and
    /// how many of the following have to be read.
    ///
    /// What cannot be found out has to be read.
    pub(super) fn runs(&self, at: u64, most: u64) -> (u64, u64) {
        let in_file = self.file.as_ref().map(|file| file.runs(at, most));
        match (&self.pages, in_file) {
            (None, None) => (0, most),
            (None, Some(runs)) => runs,
            (Some(pages), None) => self.page_runs(pages, at, most),
            // A page without an entry in a hole.
            (Some(_), Some((0, data))) => (0, data),
            (Some(pages), Some((hole, _))) => {
                let (untouched, read) = self.page_runs(pages, at, hole);
                (untouched, read.min(hole.saturating_sub(untouched)))
            }
        }
    }

    fn page_runs(&self, pages: &File, at: u64, most: u64) -> (u64, u64) {
        let end = at.saturating_add(most);
        let mut next = at - at % self.page;
        let mut buffer = [0; ENTRIES * ENTRY];
        // Where the first page begins that was touched, and the first behind it that was not.
        let mut touched = None;
        while next < end {
            let left = end.saturating_sub(next).div_ceil(self.page);
            let count = usize::try_from(left).unwrap_or(ENTRIES).min(ENTRIES);
            let entries = buffer.get_mut(..count.saturating_mul(ENTRY)).unwrap_or_default();
            let offset = (next / self.page).saturating_mul(ENTRY as u64);
            if pages.read_exact_at(entries, offset).is_err() {
                let untouched = touched.unwrap_or(next).max(at).saturating_sub(at);
                return (untouched, most.saturating_sub(untouched));
            }
            for entry in entries.as_chunks::<ENTRY>().0 {
                let is_touched = u64::from_ne_bytes(*entry) & (PRESENT | SWAPPED) != 0;
                match touched {
                    None if is_touched => touched = Some(next.max(at)),
                    Some(first) if !is_touched => {
                        return (first.saturating_sub(at), next.min(end).saturating_sub(first));
                    }
                    _ => {}
                }
                next = next.saturating_add(self.page);
            }
        }
        let first = touched.unwrap_or(end);
        (first.saturating_sub(at), end.saturating_sub(first))
    }
}

impl Holes {
    /// The file of a mapping, if its holes are those that the process sees.
    fn of(process: &QemuProcess, mapping: &Mapping, mapped: MappedFile) -> Option<Self> {
        let by_range = process.file(&format!("map_files/{:x}-{:x}", mapping.start, mapping.end));
        let by_number = || fs::read_dir(process.file("fd")).into_iter().flatten().flatten();
        // Only who may do much gets a file by the range that it is mapped at.
        let paths = std::iter::once(by_range).chain(by_number().map(|entry| entry.path()));
        let is_mapped = |metadata: &fs::Metadata| {
            let device = metadata.dev();
            metadata.is_file()
                && metadata.ino() == mapped.inode
                && (major(device), minor(device)) == mapped.device
        };
        // Nothing but the file itself is opened: another may be a pipe, or a device.
        let is_it = |path: &std::path::PathBuf| fs::metadata(path).is_ok_and(|it| is_mapped(&it));
        let file = paths.into_iter().find(is_it).and_then(|path| File::open(path).ok())?;
        let is_tmpfs = fstatfs(&file)
            .is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|kind| kind == TMPFS));
        let same = file.metadata().is_ok_and(|metadata| is_mapped(&metadata));
        (is_tmpfs && same).then(|| Self {
            file: Arc::new(file),
            start: mapping.start,
            offset: mapped.offset,
        })
    }

    fn runs(&self, at: u64, most: u64) -> (u64, u64) {
        let offset = at.saturating_sub(self.start).saturating_add(self.offset);
        let end = offset.saturating_add(most);
        let data = match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data.clamp(offset, end),
            // Behind the end of the file there is nothing to be read.
            Err(Errno::NXIO) => self.length().map_or(offset, |length| length.clamp(offset, end)),
            Err(_) => offset,
        };
        let hole = match seek(&self.file, SeekFrom::Hole(data)) {
            Ok(hole) => hole.clamp(data, end),
            Err(_) => end,
        };
        (data.saturating_sub(offset), hole.saturating_sub(data))
    }

    fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }
}
