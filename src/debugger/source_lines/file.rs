//! A file with debug symbols, and the lines in it.

use std::path::Path;

use addr2line::{FrameIter, Loader};
use gimli::Reader;

use super::{SourceLine, SourceLinesError};

/// The most functions that are inlined into one another.
const MAX_INLINED: usize = 64;

/// What is in it is read when it is needed.
pub(super) struct LinesFile {
    loader: Loader,
}

impl LinesFile {
    /// Opens it.
    ///
    /// # Errors
    /// Fails if it cannot be read, or has no debug symbols.
    pub(super) fn open(path: &Path) -> Result<Self, SourceLinesError> {
        let failed = |problem| SourceLinesError { path: path.to_owned(), problem };
        let loader = Loader::new(path).map_err(|error| failed(error.to_string()))?;
        if loader.get_section_range(b".debug_info").is_none() {
            return Err(failed("it has no debug symbols".to_owned()));
        }
        Ok(Self { loader })
    }

    /// The lines of an address of the file: that of the innermost inlined function first, that
    /// of the function itself last. Files are as the compiler recorded them.
    pub(super) fn at(&self, probe: u64) -> Vec<SourceLine> {
        self.loader.find_frames(probe).map(lines).unwrap_or_default()
    }
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

    #[test]
    fn a_file_without_symbols_is_refused_with_its_name() {
        let program = std::env::current_exe().unwrap();
        let folder = program.parent().unwrap();
        let Err(error) = LinesFile::open(folder) else { panic!("a folder has no lines") };
        assert!(error.to_string().contains("no lines of source"), "{error}");
    }
}
