//! Source lines of the kernel's code, out of its vmlinux with debug symbols.
//!
//! Needs: the file, which whoever calls has checked to be of the core's build, and how far
//! the kernel was moved when it started. Gives: for an address the line that it was made
//! from, and the functions that were inlined there. Modules' code is in files of their own.

use std::path::{Path, PathBuf};

use addr2line::Loader;
use thiserror::Error;

use crate::kernel::CodeAddress;

/// The most functions that are inlined into one another.
const MAX_INLINED: usize = 64;

/// Why a file gives no lines.
#[derive(Debug, Error)]
#[error("{} has no lines of source that can be read: {problem}", path.display())]
pub struct SourceLinesError {
    path: PathBuf,
    problem: String,
}

/// Where code comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLine {
    /// The function, which may have been inlined into the next one.
    pub function: Option<String>,
    /// The file, as the compiler was told it.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
}

/// The lines of a kernel.
pub struct SourceLines {
    loader: Loader,
    moved: u64,
}

impl std::fmt::Debug for SourceLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceLines").field("moved", &self.moved).finish_non_exhaustive()
    }
}

impl SourceLines {
    /// Opens a vmlinux whose kernel was moved by so many bytes. What is in it is read when
    /// it is needed.
    ///
    /// # Errors
    /// Fails if it cannot be read, or has no debug symbols.
    pub fn open(vmlinux: &Path, moved: u64) -> Result<Self, SourceLinesError> {
        let failed = |problem| SourceLinesError { path: vmlinux.to_owned(), problem };
        let loader = Loader::new(vmlinux).map_err(|error| failed(error.to_string()))?;
        if loader.get_section_range(b".debug_info").is_none() {
            return Err(failed("it has no debug symbols".to_owned()));
        }
        Ok(Self { loader, moved })
    }

    /// The lines of an address: that of the innermost inlined function first, that of the
    /// function itself last. None if the file has none for it.
    #[must_use]
    pub fn of(&self, address: CodeAddress) -> Vec<SourceLine> {
        let probe = address.lookup().0.wrapping_sub(self.moved);
        let mut lines = Vec::new();
        let Ok(mut found) = self.loader.find_frames(probe) else { return lines };
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

    #[test]
    fn a_file_without_symbols_is_refused_with_its_name() {
        let program = std::env::current_exe().unwrap();
        let folder = program.parent().unwrap();
        let error = SourceLines::open(folder, 0).unwrap_err();
        assert!(error.to_string().contains("no lines of source"), "{error}");
    }
}
