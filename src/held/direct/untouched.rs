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
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// The data that was found last, in the file. The system looks at each page of it to find
    /// its end, which may be that of the file: it is asked once.
    data: Arc<Mutex<Range<u64>>>,
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
            data: Arc::default(),
        })
    }

    fn runs(&self, at: u64, most: u64) -> (u64, u64) {
        let offset = at.saturating_sub(self.start).saturating_add(self.offset);
        let end = offset.saturating_add(most);
        let known = self.data.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.contains(&offset) {
            return (0, known.end.min(end).saturating_sub(offset));
        }
        let data = match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) if data >= end => return (most, 0),
            Ok(data) => data.max(offset),
            // Behind the end of the file there is nothing to be read.
            Err(Errno::NXIO) => self.length().map_or(offset, |length| length.clamp(offset, end)),
            Err(_) => offset,
        };
        let hole = match seek(&self.file, SeekFrom::Hole(data)) {
            Ok(hole) => hole.max(data),
            Err(_) => end,
        };
        *self.data.lock().unwrap_or_else(PoisonError::into_inner) = data..hole;
        (data.saturating_sub(offset), hole.min(end).saturating_sub(data))
    }

    fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn this() -> QemuProcess {
        QemuProcess::find(i32::try_from(std::process::id()).unwrap())
    }

    /// All runs of a stretch: each is untouched or has to be read.
    fn all_runs(untouched: &Untouched, at: u64, length: u64) -> Vec<(u64, u64)> {
        let (mut next, mut runs) = (at, Vec::new());
        while next < at + length {
            let (skip, read) = untouched.runs(next, at + length - next);
            assert!(skip + read > 0 && next + skip + read <= at + length, "no progress");
            runs.push((skip, read));
            next += skip + read;
        }
        runs
    }

    #[test]
    fn holes_of_a_memfd_are_untouched() {
        let file = File::from(memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
        file.set_len(64 * MIB).unwrap();
        file.write_all_at(&[1; 8192], 4 * MIB).unwrap();
        file.write_all_at(&[1; 4096], 63 * MIB).unwrap();
        let metadata = file.metadata().unwrap();
        let device = (major(metadata.dev()), minor(metadata.dev()));
        let mapped = MappedFile { device, inode: metadata.ino(), offset: MIB };
        // Nothing is mapped there: only the file says what was written.
        let start = 0x1000_0000;
        let end = start + 63 * MIB;
        let mapping = Mapping { start, end, shared: true, file: Some(mapped) };
        let untouched = Untouched::of(&this(), &mapping, None);
        let (page, gap) = (4096, 59 * MIB - 8192);
        let expected = vec![(3 * MIB, 2 * page), (gap, page), (MIB - page, 0)];
        assert_eq!(all_runs(&untouched, start, 63 * MIB), expected);
        // From within what was found before, and from before it.
        assert_eq!(untouched.runs(start + 62 * MIB + 100, MIB / 2), (0, page - 100));
        assert_eq!(untouched.runs(start + 3 * MIB - 100, 200), (100, 100));
        assert_eq!(untouched.runs(start, MIB), (MIB, 0));
        // Where its pages may be others than the file's, and they are not known, all is read.
        let private = Untouched::of(&this(), &Mapping { shared: false, ..mapping }, None);
        assert_eq!(private.runs(start, MIB), (0, MIB));
    }

    #[test]
    fn only_zeros_are_untouched() {
        let length = 32 * MIB;
        let mut memory = vec![0_u8; usize::try_from(length).unwrap()];
        for at in [5_000_000, 5_010_000, 20_000_000] {
            memory[at] = 7;
        }
        let at = memory.as_ptr().addr() as u64;
        let pages = Arc::new(this().page_states().unwrap());
        let mappings = this().mappings().unwrap();
        let mapping = mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&at));
        let untouched = Untouched::of(&this(), mapping.unwrap(), Some(&pages));
        let mut next = 0;
        for (skip, read) in all_runs(&untouched, at, length) {
            let zeros = &memory[usize::try_from(next).unwrap()..][..usize::try_from(skip).unwrap()];
            assert!(zeros.iter().all(|byte| *byte == 0), "{skip} bytes at {next}");
            next += skip + read;
        }
        assert_eq!(next, length);
    }
}
