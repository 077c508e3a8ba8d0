//! Source lines of code, out of files with debug symbols.
//!
//! ```text
//! function on a stack ──► the kernel's own?   vmlinux, which the caller has checked
//!                         a module's?         the file of its build id, found like vmlinux
//! ```
//!
//! Needs: the vmlinux, how far the kernel was moved when it started, and where the files of
//! modules may be. Gives: for a function on a stack the line that it was at, and the
//! functions that were inlined there. A module without a file is a finding.

mod file;
mod module;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::file::LinesFile;
use self::module::ModuleLines;
use super::vmlinux::{KernelBuild, SymbolPaths};
use crate::kernel::unwind::StackFrame;
use crate::kernel::{CodeAddress, Kernel, SymbolisedAddress};

/// A function whose file in the source tree never had another name.
const LANDMARK: (&str, &str) = ("panic", "kernel/panic.c");

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
    /// The file: below the kernel's source tree if it is there, and otherwise as the compiler
    /// recorded it.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
}

/// The lines of a kernel and of its modules.
pub struct SourceLines {
    kernel: LinesFile,
    moved: u64,
    /// Where the source tree was when the kernel was built, with a slash behind it.
    tree: String,
    paths: SymbolPaths,
    /// By build id: those that were looked for.
    modules: RefCell<BTreeMap<String, Result<ModuleLines, String>>>,
}

impl std::fmt::Debug for SourceLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceLines").field("tree", &self.tree).finish_non_exhaustive()
    }
}

impl SourceLines {
    /// Opens the vmlinux of a kernel. Those of modules are looked for when they are needed.
    ///
    /// # Errors
    /// Fails if it cannot be read, or has no debug symbols.
    pub fn open(
        vmlinux: &Path,
        kernel: &Kernel,
        paths: SymbolPaths,
    ) -> Result<Self, SourceLinesError> {
        let file = LinesFile::open(vmlinux)?;
        let moved = kernel.info.kernel_offset().unwrap_or_default();
        let (function, path) = LANDMARK;
        let landmark = kernel.symbol(function).map(|at| file.at(at.0.wrapping_sub(moved)));
        let landmark = landmark.and_then(|lines| lines.last()?.file.clone());
        let tree = landmark.and_then(|file| Some(file.strip_suffix(path)?.to_owned()));
        let tree = tree.unwrap_or_default();
        Ok(Self { kernel: file, moved, tree, paths, modules: RefCell::default() })
    }

    /// The lines of a function on a stack: that of the innermost inlined function first, that of
    /// the function itself last. None if no file has any for it.
    pub fn of(&self, frame: &StackFrame) -> Vec<SourceLine> {
        let Some(symbol) = &frame.symbol else { return Vec::new() };
        let mut lines = match &symbol.module {
            Some(_) => self.of_module(symbol, frame.address),
            None => self.kernel.at(frame.address.lookup().0.wrapping_sub(self.moved)),
        };
        for file in lines.iter_mut().filter_map(|line| line.file.as_mut()) {
            if let Some(below) = file.strip_prefix(&self.tree) {
                *file = below.to_owned();
            }
        }
        lines
    }

    fn of_module(&self, symbol: &SymbolisedAddress, address: CodeAddress) -> Vec<SourceLine> {
        let Some(id) = &symbol.build_id else { return Vec::new() };
        let mut modules = self.modules.borrow_mut();
        let module = modules.entry(id.clone()).or_insert_with(|| {
            let build = KernelBuild { release: None, build_id: id.parse().ok() };
            let found = build.find(&self.paths).map_err(|error| {
                let name = symbol.module.as_deref().unwrap_or_default();
                format!("no file with lines of module {name}: {}", error.searched())
            });
            ModuleLines::open(&found?.path).map_err(|error| error.to_string())
        });
        let back = address.address().0.wrapping_sub(address.lookup().0);
        module.as_ref().map(|module| module.at(symbol, back)).unwrap_or_default()
    }

    /// What could not be found out: modules whose files are not there.
    pub fn findings(&self) -> Vec<String> {
        let modules = self.modules.borrow();
        modules.values().filter_map(|module| module.as_ref().err().cloned()).collect()
    }
}
