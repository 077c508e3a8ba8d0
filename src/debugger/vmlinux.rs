//! The kernel's own file: where it may be, and whether it is the right one.
//!
//! What the guest says of itself is text from the guest: it becomes part of a
//! path only where it cannot lead out of the directory.

use std::path::{Path, PathBuf};

use thiserror::Error;
use vmcore_formats::elf::build_id::{BuildId, HEADER_LENGTH, MAX_NOTES, NotElf, NoteTables};
use vmcore_formats::elf::core_head::FileRange;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::corefile::read::bytes::{Bytes, DataError, PlainFile, read_vec};
use crate::regular_file;

/// What kernel a core is of, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelBuild {
    /// As `uname -r` has it.
    pub release: Option<String>,
    /// Which build it is.
    pub build_id: Option<BuildId>,
}

/// A kernel's file with symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmlinux {
    /// The file.
    pub path: PathBuf,
    /// Whether it is known to be of the core's build.
    pub verified: bool,
    /// Files of the kernel's modules, if they were made with it.
    pub modules: ModuleFiles,
}

/// Files that were made of the kernel's modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleFiles {
    /// All of them.
    pub files: Vec<PathBuf>,
    /// A file with the command by which crash loads them.
    pub crash_commands: Option<PathBuf>,
}

/// Where files with symbols are.
#[derive(Clone, Debug)]
pub struct SymbolPaths {
    /// The directory that the usual places are below.
    pub root: PathBuf,
    /// Where debuginfod keeps what it fetched.
    pub debuginfod: Option<PathBuf>,
}

/// Why a file is not the core's kernel.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VmlinuxError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DataError,
    },
    /// Not the kind of file that has symbols.
    #[error("{} is no vmlinux", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NotElf,
    },
    /// A file of another build.
    #[error("{} has {}, but the core's kernel has build id {wanted}", path.display(),
        found.as_ref().map_or_else(|| "no build id".to_owned(), |id| format!("build id {id}")))]
    OtherBuild {
        /// The file.
        path: PathBuf,
        /// Its build id.
        found: Option<BuildId>,
        /// The core's.
        wanted: BuildId,
    },
}

/// No file with the symbols of the core's kernel.
#[derive(Debug, Error)]
#[error("no vmlinux for {}: {}", kernel.describe(), self.searched())]
pub struct NotFound {
    /// What was looked for.
    pub kernel: KernelBuild,
    /// Where.
    pub looked_at: Vec<PathBuf>,
    /// What is there, and is not it.
    pub unfit: Vec<VmlinuxError>,
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn paths(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "none, because the core has no VMCOREINFO".to_owned();
    }
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl NotFound {
    /// Where it was looked for, and what was there.
    pub fn searched(&self) -> String {
        let unfit = self.unfit.iter().map(|error| format!("; {}", with_causes(error)));
        format!("looked for {}{}", paths(&self.looked_at), unfit.collect::<String>())
    }

    /// What the user can do about it.
    pub fn hint(&self) -> String {
        let mut ways = Vec::new();
        if let Some(release) = self.kernel.release_in_paths() {
            ways.push(format!(
                "install linux-image-{release}-dbg (Debian), linux-image-{release}-dbgsym (Ubuntu) \
                 or kernel-debuginfo-{release} (Fedora, RHEL)"
            ));
        }
        if let Some(id) = &self.kernel.build_id {
            ways.push(format!("fetch it with `debuginfod-find debuginfo {id}`"));
        }
        ways.push("name the file with --vmlinux FILE".to_owned());
        ways.join(", or ")
    }
}

impl KernelBuild {
    /// The kernel that a VMCOREINFO describes.
    pub fn of(info: &VmcoreInfo) -> Self {
        Self {
            release: info.release().map(str::to_owned),
            build_id: info.value("BUILD-ID").and_then(|id| id.parse().ok()),
        }
    }

    /// What is known of it, for messages.
    pub fn describe(&self) -> String {
        let release = self.release.as_deref().unwrap_or("of unknown release");
        let release: String =
            release.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        match &self.build_id {
            Some(id) => format!("Linux {release} (build id {id})"),
            None => format!("Linux {release} (build id unknown)"),
        }
    }

    /// The release, if it can be part of a path.
    fn release_in_paths(&self) -> Option<&str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+~".contains(&byte);
        self.release.as_deref().filter(|release| {
            !release.is_empty() && !release.starts_with('.') && release.bytes().all(plain)
        })
    }

    /// Finds its file in the usual places. One of another build is passed over.
    ///
    /// # Errors
    /// Fails if there is none, and says where it was looked for.
    pub fn find(&self, places: &SymbolPaths) -> Result<Vmlinux, NotFound> {
        let looked_at = self.candidates(places);
        let mut unfit = Vec::new();
        for path in looked_at.iter().filter(|path| path.is_file()) {
            match self.check(path) {
                Ok(vmlinux) => return Ok(vmlinux),
                Err(error) => unfit.push(error),
            }
        }
        Err(NotFound { kernel: self.clone(), looked_at, unfit })
    }

    fn candidates(&self, places: &SymbolPaths) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        if let Some(id) = &self.build_id {
            let digits = id.to_string();
            let (head, tail) = digits.split_at_checked(2).unwrap_or((&digits, ""));
            paths.push(places.root.join(format!("usr/lib/debug/.build-id/{head}/{tail}.debug")));
            let cache = places.debuginfod.as_ref();
            paths.extend(cache.map(|cache| cache.join(&digits).join("debuginfo")));
        }
        if let Some(release) = self.release_in_paths() {
            paths.extend(
                [
                    format!("usr/lib/debug/boot/vmlinux-{release}"),
                    format!("usr/lib/debug/lib/modules/{release}/vmlinux"),
                    format!("boot/vmlinux-{release}"),
                    format!("lib/modules/{release}/build/vmlinux"),
                    format!("lib/modules/{release}/vmlinux"),
                ]
                .map(|path| places.root.join(path)),
            );
        }
        paths
    }

    /// Whether a file is this kernel's. Reads its headers and notes alone.
    ///
    /// # Errors
    /// Fails if it cannot be read, or is another kernel's.
    pub fn check(&self, path: &Path) -> Result<Vmlinux, VmlinuxError> {
        let data = |source| VmlinuxError::Data { path: path.to_owned(), source };
        let io = |source| data(DataError::Io { offset: 0, source });
        let file = PlainFile::new(regular_file::open(path).map_err(io)?).map_err(io)?;
        let not_elf = |source| VmlinuxError::NotElf { path: path.to_owned(), source };
        let found = match build_id(&file) {
            Ok(found) => found.map_err(not_elf)?,
            Err(error) => return Err(data(error)),
        };
        match &self.build_id {
            Some(wanted) if found.as_ref() != Some(wanted) => {
                let (path, wanted) = (path.to_owned(), wanted.clone());
                Err(VmlinuxError::OtherBuild { path, found, wanted })
            }
            wanted => {
                let modules = ModuleFiles::default();
                Ok(Vmlinux { path: path.to_owned(), verified: wanted.is_some(), modules })
            }
        }
    }
}

/// The build id of an ELF file, if it has one.
fn build_id(file: &PlainFile) -> Result<Result<Option<BuildId>, NotElf>, DataError> {
    let first = read_vec(file, 0, file.length().min(HEADER_LENGTH as u64))?;
    let tables = match NoteTables::decode(&first) {
        Ok(tables) => tables,
        Err(error) => return Ok(Err(error)),
    };
    let part = |range: FileRange| read_vec(file, range.offset, range.length);
    // Of a file of symbols alone, the segments point nowhere.
    let sections = part(tables.sections)?;
    let segments = part(tables.segments).unwrap_or_default();
    let notes = tables.in_sections(&sections).chain(tables.in_segments(&segments));
    let found = notes
        .filter(|range| range.length <= MAX_NOTES)
        .filter_map(|range| part(range).ok())
        .find_map(|notes| BuildId::among(&notes, tables.endian));
    Ok(Ok(found))
}

#[cfg(test)]
#[path = "vmlinux_tests.rs"]
mod tests;
