//! Where files with the kernel's symbols are on this machine.

use std::path::{Path, PathBuf};

use crate::debugger::SymbolPaths;

/// The usual places, and debuginfod's.
pub(super) fn symbol_paths() -> SymbolPaths {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = || variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let debuginfod = variable("DEBUGINFOD_CACHE_PATH").map(PathBuf::from);
    let debuginfod = debuginfod.or_else(|| Some(cache()?.join("debuginfod_client")));
    SymbolPaths { root: PathBuf::from("/"), debuginfod }
}
