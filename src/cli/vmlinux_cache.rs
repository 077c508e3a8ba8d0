//! Files that were made out of cores, kept for the next `debug` of the same kernel.
//!
//! ```text
//! $XDG_CACHE_HOME/vmcorectl/vmlinux/<build id>-<digest>
//! $XDG_CACHE_HOME/vmcorectl/modules/<build id>-<digest>-<digest>/NAME.ko
//! $XDG_CACHE_HOME/vmcorectl/isf/<build id>-<digest>/kernel.json
//! $XDG_CACHE_HOME/vmcorectl/cores/<digest>     which of these were made out of a core
//! ```
//!
//! volatility3 takes all files of a directory whose banner is the core's, so that each has its own.
//!
//! The digest is of the symbols, types and ORC tables that a file is made of: a guest that
//! claims another kernel's build id gets a file of its own. What depends on a boot, the contents
//! of code and data, is not in these files. A child makes them, which parses with the rights of
//! `symbols`: `debug` itself is not confined. Of a core that was debugged before, the
//! files are found without a child ([`record`]).

mod record;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, bail};

use self::record::Record;
use super::identity::IdentityArgs;
use super::secret_address;
use crate::remote::address::Address;

/// The most files that are kept, and their length together. One takes 20 to 40 MB.
const MAX_FILES: usize = 12;
const MAX_LENGTH: u64 = 512 << 20;
/// The directory of those of modules.
const MODULES: &str = "modules";
/// The directory of records, and the most of them that are kept.
const RECORDS: &str = "cores";
const MAX_RECORDS: usize = 256;
/// Files of makers that were killed are removed after this time.
const ABANDONED: u64 = 3600;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A vmlinux.
    Vmlinux,
    /// volatility3's symbols, in a directory.
    Isf,
}

impl Kind {
    /// Its name: that of the directory, and the one by which `symbols` writes it.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Vmlinux => ("vmlinux", "elf"),
            Self::Isf => ("isf", "isf"),
        }
    }
}

/// A file that is in the cache now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cached {
    /// The file, or the directory that it is in.
    pub(super) path: PathBuf,
    /// Whether it has types. Without them, crash does not start.
    pub(super) with_types: bool,
    /// The directory of the files of the kernel's modules, beside a vmlinux.
    pub(super) modules: Option<PathBuf>,
}

/// What is made of a core: the one that is there, or a new one.
///
/// # Errors
/// Fails if there is no directory for it, or none can be made of this core.
pub(super) fn find_or_make(
    kind: Kind,
    core: &Path,
    identity: &IdentityArgs,
    fresh: bool,
    deep: bool,
) -> anyhow::Result<Cached> {
    let (name, format) = kind.names();
    let folder = created(name)?;
    let modules = (kind == Kind::Vmlinux).then(|| created(MODULES)).transpose()?;
    let records = created(RECORDS)?;
    let record = Record::of(core, kind, deep, &records);
    let known = || {
        let names = record.as_ref()?.names()?;
        let mut names = names.iter();
        let mut next =
            |folder: &Path| used(folder, folder.join(OsStr::from_bytes(names.next()?)), MAX_FILES);
        let path = next(&folder)?;
        let modules = modules.as_deref().map(|modules| next(modules).ok_or(())).transpose();
        Some(Cached { path, with_types: true, modules: modules.ok()? })
    };
    if !fresh && let Some(cached) = known() {
        return Ok(cached);
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg("symbols");
    match core.to_str().and_then(secret_address::parse) {
        Some(Address::Remote(address)) => secret_address::pass(&mut command, &address),
        Some(Address::Local(_)) => drop(command.arg(core)),
        // An entry may have its triage pack alone.
        None => drop(command.arg(core.canonicalize().unwrap_or_else(|_| core.to_owned()))),
    }
    command.arg("--cached").arg("-o").arg(&folder);
    command.args(["--format", format]);
    for file in identity.files() {
        command.arg("--identity").arg(file);
    }
    if let Some(modules) = &modules {
        command.arg("--modules").arg(modules);
    }
    command.args(fresh.then_some("--fresh")).args(deep.then_some("--deep"));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.context("cannot start the process that makes it")?;
    let with_types = match output.status.code() {
        Some(0) => true,
        // As `symbols` ends with `Exit::Incomplete`.
        Some(3) => false,
        _ => bail!("the process that makes it failed"),
    };
    let mut names = output.stdout.split(|byte| *byte == b'\n');
    let mut next =
        |folder: &Path| used(folder, PathBuf::from(OsStr::from_bytes(names.next()?)), MAX_FILES);
    let Some(path) = next(&folder) else {
        bail!("the process that makes it named no file of the cache");
    };
    let made_modules = modules.as_ref().and_then(|modules| next(modules));
    // What could not be made whole is tried again, and reported again.
    if let Some(record) =
        record.filter(|_| with_types && modules.is_some() == made_modules.is_some())
    {
        let files: Vec<&Path> =
            [Some(&*path), made_modules.as_deref()].into_iter().flatten().collect();
        record.keep(&files);
        used(&records, record.path().to_owned(), MAX_RECORDS);
    }
    Ok(Cached { path, with_types, modules: made_modules })
}

/// A file of a directory of the cache, if it is there. What is used now is the last one to go.
fn used(folder: &Path, path: PathBuf, most: usize) -> Option<PathBuf> {
    if path.parent() != Some(folder) || path.file_name().is_none() || !path.exists() {
        return None;
    }
    let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
    trim(folder, &path, most);
    Some(path)
}

/// A directory of the cache, which is there now.
fn created(kind: &str) -> anyhow::Result<PathBuf> {
    let folder = folder(kind).context("neither XDG_CACHE_HOME nor HOME has a directory for it")?;
    let created = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    created.with_context(|| format!("cannot create the directory {}", folder.display()))?;
    Ok(folder)
}

/// Where the files are.
fn folder(kind: &str) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(Path::new(&variable("HOME")?).join(".cache")))?;
    Some(cache.join("vmcorectl").join(kind))
}

/// Removes the files that were not used for the longest time, until the rest is within bounds.
fn trim(folder: &Path, kept: &Path, most: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let length = match fs::read_dir(entry.path()) {
                Ok(inside) => {
                    inside.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
                }
                Err(_) => metadata.len(),
            };
            Some((metadata.modified().ok()?, length, entry.path()))
        })
        .collect();
    files.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
    let (mut count, mut length) = (0_usize, 0_u64);
    for (modified, bytes, path) in files {
        if path.as_os_str().as_bytes().ends_with(b".incomplete") {
            let age = modified.elapsed().unwrap_or_default();
            if age.as_secs() > ABANDONED {
                remove(&path);
            }
            continue;
        }
        count = count.saturating_add(1);
        length = length.saturating_add(bytes);
        if path != kept && (count > most || length > MAX_LENGTH) {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_files_used_last_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for number in 0..20 {
            let file = File::create(folder.path().join(number.to_string())).unwrap();
            file.set_modified(now - Duration::from_secs(number)).unwrap();
        }
        let old = File::create(folder.path().join("x.incomplete")).unwrap();
        old.set_modified(now - Duration::from_secs(2 * ABANDONED)).unwrap();
        File::create(folder.path().join("y.incomplete")).unwrap();
        trim(folder.path(), &folder.path().join("19"), MAX_FILES);
        let there = |name: &str| folder.path().join(name).exists();
        assert!(there("0") && there("11") && there("19") && there("y.incomplete"));
        assert!(!there("12") && !there("18") && !there("x.incomplete"));
    }

    #[test]
    fn a_directory_goes_with_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, age) in [("new", 0), ("old", 9)] {
            let inside = folder.path().join(name);
            fs::create_dir(&inside).unwrap();
            File::create(inside.join("kernel.json")).unwrap().set_len(MAX_LENGTH).unwrap();
            let modified = SystemTime::now() - Duration::from_secs(age);
            File::open(inside).unwrap().set_modified(modified).unwrap();
        }
        trim(folder.path(), &folder.path().join("new"), MAX_FILES);
        assert!(folder.path().join("new").exists() && !folder.path().join("old").exists());
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let folder = tempfile::tempdir().unwrap();
        for (name, age) in [("new", 0), ("old", 9)] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(MAX_LENGTH).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        trim(folder.path(), &folder.path().join("new"), MAX_FILES);
        assert!(folder.path().join("new").exists() && !folder.path().join("old").exists());
    }
}
