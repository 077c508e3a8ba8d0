//! A file outside any store, on its way: seen under its name only when it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::publish::{create_file, rename_new};
use super::{INCOMPLETE, StoreError};

/// A file that is not published yet. Goes away if it never is.
#[derive(Debug)]
pub struct SingleFile {
    published: PathBuf,
    /// `None` once it is published.
    staged: Option<PathBuf>,
}

impl SingleFile {
    /// Creates the file, for its owner alone, under a name that says that it is not whole.
    ///
    /// # Errors
    /// Fails if a file of either name exists, or the system refuses.
    pub fn create(path: &Path) -> Result<(Self, File), StoreError> {
        if path.symlink_metadata().is_ok() {
            return Err(StoreError::Exists { path: path.to_owned() });
        }
        let mut name = OsString::from(path);
        name.push(INCOMPLETE);
        let staged = PathBuf::from(name);
        let file = create_file(&staged)?;
        Ok((Self { published: path.to_owned(), staged: Some(staged) }, file))
    }

    /// Gives the file its name.
    ///
    /// Nothing is synced: what is written here can be written again.
    ///
    /// # Errors
    /// Fails if the name was taken meanwhile, or the system refuses.
    pub fn publish(mut self) -> Result<(), StoreError> {
        if let Some(staged) = &self.staged {
            rename_new(staged, &self.published)?;
        }
        self.staged = None;
        Ok(())
    }
}

impl Drop for SingleFile {
    fn drop(&mut self) {
        if let Some(staged) = &self.staged {
            let _ = fs::remove_file(staged);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_seen_when_it_is_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("core");
        let (staged, mut file) = SingleFile::create(&path).unwrap();
        file.write_all(b"bytes").unwrap();
        assert!(!path.exists() && folder.path().join("core.incomplete").exists());
        staged.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(SingleFile::create(&folder.path().join("core")).unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_overwritten_not_even_what_comes_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("core");
        let (staged, _) = SingleFile::create(&path).unwrap();
        assert!(matches!(SingleFile::create(&path), Err(StoreError::Exists { .. })));
        fs::write(&path, b"theirs").unwrap();
        assert!(matches!(staged.publish(), Err(StoreError::Exists { .. })));
        assert!(matches!(SingleFile::create(&path), Err(StoreError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
