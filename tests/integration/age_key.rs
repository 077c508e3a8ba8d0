//! Keys for encrypted entries, and what the tests of them have in common.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use age::secrecy::ExposeSecret;

use crate::core_stream::CoreStream;
use crate::lacking::lacking;
use crate::scripted_qemu::Script;
use crate::tool::{Ran, run};

/// A key pair: the public part, and a file with the private one.
pub(crate) struct Key {
    pub(crate) recipient: String,
    pub(crate) secret: String,
    pub(crate) file: PathBuf,
    _folder: tempfile::TempDir,
}

pub(crate) fn key() -> Key {
    let folder = tempfile::tempdir().unwrap();
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string().expose_secret().to_owned();
    let file = folder.path().join("key.txt");
    fs::write(&file, format!("# a key\n{secret}\n")).unwrap();
    Key { recipient: identity.to_public().to_string(), secret, file, _folder: folder }
}

impl Key {
    pub(crate) fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }
}

pub(crate) fn with_store(store: &Path, arguments: &[&str]) -> Ran {
    run(arguments.iter().copied().chain(["--store", store.to_str().unwrap()]))
}

pub(crate) fn files(entry: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(entry)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// All bytes of all files below a directory, and their names.
fn all_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(all_below(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found
}

/// Checks that none of the files has one of these texts, in its name or in its contents.
#[track_caller]
pub(crate) fn none_has(folder: &Path, texts: &[&[u8]]) {
    for (path, bytes) in all_below(folder) {
        for text in texts {
            let found = memchr::memmem::find(&bytes, text).is_some()
                || memchr::memmem::find(path.as_os_str().as_encoded_bytes(), text).is_some();
            assert!(!found, "{:?} is in {}", String::from_utf8_lossy(text), path.display());
        }
    }
}

/// What Debian's `age` and `zstd` make of a core, by the identity in a file.
pub(crate) fn by_stock_tools(core: &Path, identity: &Path) -> Option<Vec<u8>> {
    let mut age = Command::new("age");
    age.args(["-d", "-i"]).arg(identity).arg(core).stdout(Stdio::piped());
    let Ok(mut age) = age.spawn() else {
        lacking("Debian's package age");
        return None;
    };
    let zstd = Command::new("zstd").arg("-dc").stdin(age.stdout.take().unwrap()).output();
    assert!(age.wait().unwrap().success());
    let zstd = zstd.expect("zstd");
    assert!(zstd.status.success(), "{zstd:?}");
    Some(zstd.stdout)
}

/// A guest that is to be found in no file.
pub(crate) fn guest() -> Script {
    Script { stream: Arc::new(CoreStream::of_guest(22)), ..Script::default() }
}
