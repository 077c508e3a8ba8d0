//! `symbols --modules DIR`: a file for each module of the kernel.
//!
//! ```text
//! DIR/NAME.ko                     crash looks for this name
//! DIR/.build-id/ab/cdef...debug   a link to it: drgn and gdb look for a build id
//! ```
//!
//! Names come from the guest. One that is no plain name of a file, or that another module has,
//! gets no file, and is a finding.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};
use vmcore_formats::elf::build_id::BuildId;

use super::ui::say;
use crate::debugger::ModuleFiles;
use crate::kernel::Kernel;
use crate::printable::shown;
use crate::store::single_file::SingleFile;
use crate::vmlinux::{MadeModule, digest_module};

/// The folder of links.
pub(super) const BUILD_IDS: &str = ".build-id";
/// The command by which crash loads them.
const CRASH_COMMANDS: &str = "crash.commands";
/// The longest name of a module.
const MAX_NAME: usize = 64;
/// The most bytes of all files. Those of a distribution's modules take 100 MB.
const MAX_LENGTH: u64 = 1 << 30;
/// The most modules that are named in one sentence.
const MAX_NAMED: usize = 8;

/// Creates the directory, if there is none.
pub(super) fn create_folder(folder: &Path) -> anyhow::Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| {
        format!("cannot create the directory {}", shown(&folder.display().to_string()))
    })
}

/// Writes the files, and gives their paths.
pub(super) fn write(kernel: &Kernel, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let modules = kernel.modules();
    modules.findings.iter().for_each(|what| say(&format!("finding: {what}")));
    let mut written: Vec<PathBuf> = Vec::new();
    let mut without_types = Vec::new();
    let mut length = 0_u64;
    for module in &modules.modules {
        let name = shown(&module.name);
        let refused =
            |why: &str| say(&format!("finding: no file was made of module {name}: {why}"));
        if !is_plain(&module.name) {
            refused("its name is not one that a module can have");
            continue;
        }
        let path = folder.join(format!("{}.ko", module.name));
        if written.contains(&path) {
            refused("another module has the same name");
            continue;
        }
        let made = match MadeModule::of(kernel, module) {
            Ok(made) => made,
            Err(error) => {
                refused(&error.to_string());
                continue;
            }
        };
        made.findings().iter().for_each(|what| say(&format!("finding: module {name}: {what}")));
        if let Some(why) = made.without_types() {
            without_types.push((name.to_string(), why.to_string()));
        }
        let (staged, file) = SingleFile::create(&path)?;
        made.write(&file).with_context(|| format!("cannot write {}", path.display()))?;
        length = length.saturating_add(file.metadata().map_or(0, |file| file.len()));
        if length > MAX_LENGTH {
            say("finding: no files were made of further modules: they are too large");
            break;
        }
        staged.publish()?;
        if let Some(id) = made.build_id() {
            let linked = link(folder, id, &module.name);
            linked.with_context(|| format!("cannot link {}", path.display()))?;
        }
        written.push(path);
    }
    if let Some((_, why)) = without_types.first() {
        let count = without_types.len();
        let names = without_types.iter().take(MAX_NAMED).map(|(name, _)| name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        let more = if count > MAX_NAMED { " and others" } else { "" };
        say(&format!("note: files of {count} modules have no types ({names}{more}): {why}"));
    }
    Ok(written)
}

/// The name of a directory with the files of all modules: that of the kernel's vmlinux, and a
/// digest of what they are made of. None, if there are none.
pub(super) fn name(kernel: &Kernel, vmlinux: &str) -> Option<String> {
    let mut digest = Sha256::new();
    let mut any = false;
    for module in kernel.modules().modules.iter().filter(|module| is_plain(&module.name)) {
        any |= digest_module(kernel, module, &mut digest).is_ok();
    }
    let digits: String =
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    any.then(|| format!("{vmlinux}-{digits}"))
}

/// Writes the commands with which crash loads the files, which are going to be in `folder`. No file,
/// if crash would take the directory's name for something else.
pub(super) fn write_crash_commands(staged: &Path, folder: &Path) -> anyhow::Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@:,=".contains(&byte);
    if let Some(name) = folder.to_str().filter(|name| name.bytes().all(plain)) {
        fs::write(staged.join(CRASH_COMMANDS), format!("mod -S {name} > /dev/null\n"))?;
    }
    Ok(())
}

/// What is in such a directory.
pub(super) fn of_cache(folder: &Path) -> ModuleFiles {
    let Ok(entries) = fs::read_dir(folder) else { return ModuleFiles::default() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "ko")).collect();
    files.sort();
    let commands = folder.join(CRASH_COMMANDS);
    ModuleFiles { files, crash_commands: commands.exists().then_some(commands) }
}

/// Whether a name is one that a file of a module can have.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.bytes().all(plain)
        && !name.is_empty()
        && !name.starts_with(['.', '-'])
        && name.len() <= MAX_NAME
}

/// Links the build id to the module's file. What two modules claim is the first one's.
fn link(folder: &Path, id: &BuildId, name: &str) -> io::Result<()> {
    let id = id.to_string();
    let Some((first, rest)) = id.split_at_checked(2).filter(|(_, rest)| !rest.is_empty()) else {
        return Ok(());
    };
    let folder = folder.join(BUILD_IDS).join(first);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    match symlink(format!("../../{name}.ko"), folder.join(format!("{rest}.debug"))) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_lead_nowhere_else_are_names_of_files() {
        for name in ["ext4", "nf_conntrack", "dm-mod", "a.b"] {
            assert!(is_plain(name), "{name}");
        }
        for name in
            ["", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "a\n", "\u{e9}", "a\u{fffd}"]
        {
            assert!(!is_plain(name), "{name}");
        }
        assert!(!is_plain(&"a".repeat(65)));
    }
}
