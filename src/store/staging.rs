//! An entry on its way: written under a name that says so, then published.
//!
//! Needs: where it should go ([`Destination`]). Gives: the open core file, and in the
//! end either the published names or an incomplete entry that keeps its name.
//! Dropped without either, as after SIGKILL, it stays
//! as it is: unpublished.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::guest_folder::folder_name;
use super::lock::{self, Attempt};
use super::publish::{create_file, create_folders, rename_new, sync_folder};
use super::{CORE_FILE, INCOMPLETE, METADATA_FILE, StoreError, core_in, report_file};
use crate::metadata::{ENCRYPTED, ENCRYPTED_CORE_FILE, MetadataFiles};

/// How many ids are tried for one entry.
const TRIES: u32 = 100;

/// Where a core should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Into a store, as a new entry.
    Store(PathBuf),
    /// Into this file, with its metadata in another one beside it.
    File(PathBuf),
}

impl Destination {
    /// The path whose file system the core will fill.
    pub fn path(&self) -> &Path {
        match self {
            Self::Store(path) | Self::File(path) => path,
        }
    }

    /// Checks that nothing is there that a core there would have to overwrite: a file
    /// has its metadata and its report beside it.
    ///
    /// # Errors
    /// Fails with the first file that exists.
    pub fn check_free(&self) -> Result<(), StoreError> {
        let Self::File(core) = self else { return Ok(()) };
        let sealed = report_file::sealed_metadata(core);
        let reports = [".report.json", ".report.json.age"].map(|name| beside(core, name));
        let metadata = [beside(core, ".json"), sealed];
        let published = [core.clone()].into_iter().chain(metadata).chain(reports);
        for path in published {
            for path in [beside(&path, INCOMPLETE), path] {
                if path.symlink_metadata().is_ok() {
                    return Err(StoreError::Exists { path });
                }
            }
        }
        Ok(())
    }
}

/// The path with this behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// An entry that is not published yet.
#[derive(Debug)]
pub struct Staging {
    id: String,
    core: Names,
    metadata: Names,
    /// The metadata of an encrypted core, all of it.
    sealed: Names,
    /// The directory that becomes the entry; `None` for a single file.
    folder: Option<Names>,
    /// Keeps the core locked until this is dropped, even if the core's own file is closed before.
    lock: Option<File>,
    /// Why the core could not be locked.
    unlocked: Option<String>,
}

/// How a core is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// In the age format.
    Encrypted,
}

impl Form {
    /// The core's name in an entry.
    fn core_file(self) -> &'static str {
        match self {
            Self::Plain => CORE_FILE,
            Self::Encrypted => ENCRYPTED_CORE_FILE,
        }
    }
}

/// What something is called before and after it is published.
#[derive(Debug)]
struct Names {
    staged: PathBuf,
    published: PathBuf,
}

impl Names {
    /// Those of a file that is published by a rename of its own.
    fn of_file(published: PathBuf) -> Self {
        Self { staged: beside(&published, INCOMPLETE), published }
    }
}

impl Staging {
    /// Makes room for an entry, and opens its core.
    ///
    /// # Errors
    /// Fails if something of that name exists or the system refuses.
    pub fn create(
        destination: &Destination,
        guest: Option<&str>,
        now: Timestamp,
    ) -> Result<(Self, File), StoreError> {
        Self::create_as(Form::Plain, destination, guest, now)
    }

    /// The same, for a core that may be encrypted.
    ///
    /// # Errors
    /// Fails if something of that name exists or the system refuses.
    pub fn create_as(
        form: Form,
        destination: &Destination,
        guest: Option<&str>,
        now: Timestamp,
    ) -> Result<(Self, File), StoreError> {
        match destination {
            Destination::Store(root) => {
                let parent = root.join(folder_name(guest));
                Self::in_store(form, &parent, |attempt| new_id(now, attempt))
            }
            Destination::File(path) => Self::as_file(path, now)?.with_core(),
        }
    }

    /// Makes room for an entry that has its id already: it comes from another store.
    ///
    /// # Errors
    /// Fails if the entry is here, something is left of it, or the system refuses.
    pub fn receive(store: &Path, guest: &str, id: &str) -> Result<(Self, File), StoreError> {
        Self::in_folder(Form::Plain, &store.join(guest), id.to_owned())
    }

    /// Makes room for what is to take the place of this entry, or of this single file.
    ///
    /// # Errors
    /// Fails if something has its name or the system refuses.
    pub(super) fn in_place_of(entry: &Path, now: Timestamp) -> Result<(Self, File), StoreError> {
        if let (true, Some(parent)) = (entry.is_dir(), entry.parent()) {
            let is_encrypted = core_in(entry).ends_with(ENCRYPTED_CORE_FILE);
            let form = if is_encrypted { Form::Encrypted } else { Form::Plain };
            return Self::in_store(form, parent, |attempt| new_id(now, attempt));
        }
        Self::of_file(entry, now).with_core()
    }

    /// A new directory below `parent`, under the first of these ids that is free.
    fn in_store(
        form: Form,
        parent: &Path,
        mut new_id: impl FnMut(u32) -> String,
    ) -> Result<(Self, File), StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::in_folder(form, parent, new_id(attempt)) {
                Err(error) if attempt < TRIES && is_lost_race(&error) => {}
                other => return other,
            }
        }
    }

    fn in_folder(form: Form, parent: &Path, id: String) -> Result<(Self, File), StoreError> {
        let published = parent.join(&id);
        let staged = parent.join(id.clone() + INCOMPLETE);
        if published.exists() {
            return Err(StoreError::Exists { path: published });
        }
        create_folders(parent)?;
        // A link would lead out of the store.
        if parent.is_symlink() {
            let source = io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link");
            return Err(StoreError::io("write into", parent, source));
        }
        let made = fs::DirBuilder::new().mode(0o700).create(&staged);
        made.map_err(|source| StoreError::io("create the directory", &staged, source))?;
        let inside =
            |name: &str| Names { staged: staged.join(name), published: published.join(name) };
        let staging = Self {
            id,
            core: inside(form.core_file()),
            metadata: inside(METADATA_FILE),
            sealed: inside(&(METADATA_FILE.to_owned() + ENCRYPTED)),
            folder: Some(Names { staged, published }),
            lock: None,
            unlocked: None,
        };
        staging.with_core()
    }

    /// Creates the core, and locks it.
    fn with_core(mut self) -> Result<(Self, File), StoreError> {
        let path = &self.core.staged;
        let core = create_file(path)?;
        match lock::for_writing(&core) {
            // An `rm` came between: the file is its own.
            Attempt::Held => return Err(StoreError::InUse { path: path.clone() }),
            Attempt::Locked if !lock::has_a_name(&core) => {
                return Err(StoreError::InUse { path: path.clone() });
            }
            Attempt::Locked => {
                let copy = core.try_clone();
                self.lock = Some(copy.map_err(|source| StoreError::io("lock", path, source))?);
            }
            Attempt::Unavailable(error) => self.unlocked = Some(error.to_string()),
        }
        Ok((self, core))
    }

    fn as_file(path: &Path, now: Timestamp) -> Result<Self, StoreError> {
        Destination::File(path.to_owned()).check_free()?;
        Ok(Self::of_file(path, now))
    }

    fn of_file(path: &Path, now: Timestamp) -> Self {
        Self {
            id: new_id(now, 1),
            core: Names::of_file(path.to_owned()),
            metadata: Names::of_file(beside(path, ".json")),
            sealed: Names::of_file(report_file::sealed_metadata(path)),
            folder: None,
            lock: None,
            unlocked: None,
        }
    }

    /// What to warn of if the core is not locked.
    pub fn lock_warning(&self) -> Option<String> {
        let error = self.unlocked.as_ref()?;
        Some(format!(
            "the core cannot be locked ({error}): until it is published, `list` cannot tell \
             this capture from an interrupted one"
        ))
    }

    /// The entry's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Name of the core when it is published.
    pub fn core_file(&self) -> &Path {
        &self.core.published
    }

    /// How long the core's file is now.
    pub fn core_bytes(&self) -> Option<u64> {
        self.core.staged.metadata().ok().map(|file| file.len())
    }

    /// What the user will find: the entry's directory, or the core itself.
    pub fn published(&self) -> &Path {
        &self.folder.as_ref().unwrap_or(&self.core).published
    }

    /// What is there as long as it is not published.
    pub fn staged(&self) -> &Path {
        &self.folder.as_ref().unwrap_or(&self.core).staged
    }

    /// The metadata, as long as they are not published.
    pub(super) fn staged_metadata(&self) -> &Path {
        &self.metadata.staged
    }

    /// Where the metadata of a single file are published.
    pub(super) fn published_metadata(&self) -> &Path {
        &self.metadata.published
    }

    /// The core, as long as it is not published.
    pub(super) fn staged_core(&self) -> &Path {
        &self.core.staged
    }

    /// Writes the metadata beside the core, over what was written before.
    pub fn write_metadata(&self, files: &MetadataFiles, synced: bool) -> Result<(), StoreError> {
        if let Some(sealed) = &files.sealed {
            write(&self.sealed.staged, sealed, synced)?;
        }
        write(&self.metadata.staged, &files.clear, synced)
    }

    /// Gives the encrypted metadata of a single file their name, over those of the same core.
    pub(super) fn replace_sealed(&self) -> Result<(), StoreError> {
        let Names { staged, published } = &self.sealed;
        match fs::rename(staged, published) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(StoreError::io("publish", published, source))
            }
            _ => Ok(()),
        }
    }

    /// Publishes the entry. The core and the metadata must be on disk.
    ///
    /// # Errors
    /// Fails if the names are taken or the system refuses; the entry then stays
    /// incomplete. Of one that is published, the second value tells whether its
    /// name is on disk.
    pub fn publish(&self) -> Result<(PathBuf, Result<(), StoreError>), StoreError> {
        match &self.folder {
            Some(folder) => {
                sync_folder(&folder.staged)?;
                rename_new(&folder.staged, &folder.published)?;
            }
            // The core comes last: who finds it finds its metadata, too.
            None => {
                self.replace_sealed()?;
                rename_new(&self.metadata.staged, &self.metadata.published)?;
                if let Err(error) = rename_new(&self.core.staged, &self.core.published) {
                    let _ = fs::rename(&self.metadata.published, &self.metadata.staged);
                    return Err(error);
                }
            }
        }
        let published = self.published().to_owned();
        // The guest's directory may be as new as the entry. It is synced only
        // now, when nothing waits for it.
        let folders = if self.folder.is_some() { 2 } else { 1 };
        let synced = published.ancestors().skip(1).take(folders).try_for_each(sync_folder);
        Ok((published, synced))
    }

    /// Removes everything: for an entry in which nothing was kept.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.core.staged);
        let _ = fs::remove_file(&self.metadata.staged);
        let _ = fs::remove_file(&self.sealed.staged);
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(&folder.staged);
            // Goes only if no other entry of the guest is there.
            let _ = folder.staged.parent().map(fs::remove_dir);
        }
    }
}

/// Writes a file, over what was written before.
fn write(path: &Path, bytes: &[u8], synced: bool) -> Result<(), StoreError> {
    let error = |source| StoreError::io("write", path, source);
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => return Err(error(source)),
        _ => {}
    }
    let mut file = create_file(path)?;
    file.write_all(bytes).map_err(error)?;
    if synced { file.sync_all().map_err(error) } else { Ok(()) }
}

/// Whether another name may do: this one is taken, or the guest's directory went with the
/// discarded entry of another capture, or an `rm` took the new one.
fn is_lost_race(error: &StoreError) -> bool {
    match error {
        StoreError::Io { source, .. } => {
            matches!(source.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound)
        }
        StoreError::Exists { .. } | StoreError::InUse { .. } => true,
        _ => false,
    }
}

/// Time to the second, so that names sort by it, and 32 random bits.
fn new_id(now: Timestamp, attempt: u32) -> String {
    let mut random = [0; 4];
    let drawn = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    if drawn != Ok(random.len()) {
        // A system without random numbers: what differs from capture to capture does.
        let now = Timestamp::now().as_nanosecond();
        let different = format!("{now} {} {attempt}", std::process::id());
        for (byte, digest) in random.iter_mut().zip(Sha256::digest(different)) {
            *byte = digest;
        }
    }
    format!("{}-{:08x}", now.strftime("%Y%m%dT%H%M%SZ"), u32::from_be_bytes(random))
}

#[cfg(test)]
#[path = "staging_tests.rs"]
mod tests;
