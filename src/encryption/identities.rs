//! Identities: the keys that open files.
//!
//! A file of identities is what `age -i` takes: `AGE-SECRET-KEY-1...` and plugins' identities, one
//! a line; the same encrypted with a passphrase; or an ssh key. They are read, and plugins are
//! started, before a process confines itself.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use age::armor::ArmoredReader;
use age::secrecy::{ExposeSecret, SecretString};
use age::ssh::Identity as SshIdentity;
use zeroize::Zeroizing;

use super::EncryptionError;
use super::file_key::FileKey;
use super::header::{Header, is_age};

/// The longest file of keys that is read, in bytes.
pub(super) const MAX_KEYS: u64 = 1 << 20;
/// What an armored file begins with.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// What an ssh key begins with.
const PEM: &[u8] = b"-----BEGIN ";
/// What the identity of a plugin begins with.
const PLUGIN: &[u8] = b"AGE-PLUGIN-";

/// Asks who uses the program, if anybody does.
pub trait Ask: Send + Sync {
    /// A passphrase; `None` if nobody can be asked.
    fn passphrase(&self, what: &str) -> Option<String>;

    /// A text that is no secret.
    fn text(&self, what: &str) -> Option<String>;

    /// Whether to do something. The texts are for yes and no.
    fn confirm(&self, what: &str, yes: &str, no: Option<&str>) -> Option<bool>;

    /// Says something, as that a key has to be touched.
    fn say(&self, text: &str);
}

/// Nobody is asked.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Ask for Nobody {
    fn passphrase(&self, _: &str) -> Option<String> {
        None
    }

    fn text(&self, _: &str) -> Option<String> {
        None
    }

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn say(&self, _: &str) {}
}

/// What identities and recipients are given to ask by.
#[derive(Clone)]
pub(super) struct Asking {
    ask: Arc<dyn Ask>,
    /// Whether nobody was there to type a passphrase.
    unanswered: Arc<AtomicBool>,
}

impl Asking {
    pub(super) fn new(ask: &Arc<dyn Ask>) -> Self {
        Self { ask: Arc::clone(ask), unanswered: Arc::default() }
    }
}

impl age::Callbacks for Asking {
    fn display_message(&self, message: &str) {
        self.ask.say(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        self.ask.confirm(message, yes, no)
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.ask.text(description)
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        let passphrase = self.ask.passphrase(description);
        if passphrase.is_none() {
            self.unanswered.store(true, Ordering::Relaxed);
        }
        passphrase.map(SecretString::from)
    }
}

/// Identities.
pub struct Identities {
    all: Vec<Box<dyn age::Identity + Send>>,
    unanswered: Arc<AtomicBool>,
    /// Whether all of them are keys in memory, which need no program and nobody to ask.
    in_memory: bool,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} identities", self.all.len())
    }
}

impl Identities {
    /// The identities in these files.
    ///
    /// # Errors
    /// Fails if one cannot be read, or is none. A passphrase is asked for when it is needed.
    pub fn read(files: &[PathBuf], ask: &Arc<dyn Ask>) -> Result<Self, EncryptionError> {
        let asking = Asking::new(ask);
        let (mut all, mut in_memory) = (Vec::new(), true);
        for file in files {
            let of_file = read_file(file, &asking)?;
            in_memory &= of_file.in_memory;
            all.extend(of_file.identities);
        }
        Ok(Self { all, unanswered: asking.unanswered, in_memory })
    }

    /// Whether files can be opened by them when the process has confined itself.
    pub fn are_in_memory(&self) -> bool {
        self.in_memory
    }

    /// The file key in a header.
    pub(super) fn open(&self, header: &Header) -> Result<FileKey, EncryptionError> {
        if self.all.is_empty() {
            return Err(EncryptionError::NoIdentity { types: header.types() });
        }
        let mut failed = None;
        for identity in &self.all {
            match identity.unwrap_stanzas(&header.stanzas) {
                None => {}
                Some(Ok(key)) => {
                    let key = FileKey::from(*key.expose_secret());
                    return match header.is_of(&key)? {
                        true => Ok(key),
                        false => Err(EncryptionError::Header { problem: "it was changed" }),
                    };
                }
                Some(Err(error)) => {
                    failed.get_or_insert(error);
                }
            }
        }
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        Err(match failed {
            _ if unanswered => EncryptionError::Unwrap {
                problem: "it has a passphrase, and there is no terminal to ask for it".to_owned(),
            },
            Some(error) => EncryptionError::Unwrap { problem: one_line(&error) },
            None => EncryptionError::NoMatch { types: header.types() },
        })
    }
}

/// The text of an error, on one line.
pub(super) fn one_line(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// A file of keys, as far as it may be long.
pub(super) fn read_keys(path: &Path) -> Result<Zeroizing<Vec<u8>>, EncryptionError> {
    let read = || {
        let mut text = Zeroizing::new(Vec::new());
        File::open(path)?.take(MAX_KEYS).read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| EncryptionError::Keys { path: path.to_owned(), source })
}

/// The identities of one file.
struct OfFile {
    identities: Vec<Box<dyn age::Identity + Send>>,
    in_memory: bool,
}

fn read_file(path: &Path, ask: &Asking) -> Result<OfFile, EncryptionError> {
    let text = read_keys(path)?;
    let name = path.display().to_string();
    let failed = |problem: String| EncryptionError::Identity { path: path.to_owned(), problem };
    if is_age(&text) || text.starts_with(ARMOR) {
        let reader = ArmoredReader::new(Cursor::new(text));
        let identity = age::encrypted::Identity::from_buffer(reader, Some(name), ask.clone(), None);
        let identity = identity.map_err(|error| failed(one_line(&error)))?;
        let identity = identity
            .ok_or_else(|| failed("it is encrypted, and not with a passphrase".to_owned()))?;
        return Ok(OfFile { identities: vec![Box::new(identity)], in_memory: false });
    }
    if text.starts_with(PEM) {
        let identity = SshIdentity::from_buffer(BufReader::new(text.as_slice()), Some(name));
        let identity = identity.map_err(|error| failed(one_line(&error)))?;
        if let SshIdentity::Unsupported(_) = identity {
            return Err(failed(
                "this type of ssh key cannot be used; ssh-ed25519 and ssh-rsa can".to_owned(),
            ));
        }
        let in_memory = matches!(identity, SshIdentity::Unencrypted(_));
        let identity = Box::new(identity.with_callbacks(ask.clone()));
        return Ok(OfFile { identities: vec![identity], in_memory });
    }
    let identities = age::IdentityFile::from_buffer(BufReader::new(text.as_slice()));
    let identities = identities.map_err(|error| failed(one_line(&error)))?;
    let of_plugin = |part: &[u8]| part.eq_ignore_ascii_case(PLUGIN);
    let in_memory = !text.windows(PLUGIN.len()).any(of_plugin);
    let identities = identities.with_callbacks(ask.clone()).into_identities();
    let identities = identities.map_err(|error| failed(one_line(&error)))?;
    if identities.is_empty() {
        return Err(failed("there is none in it".to_owned()));
    }
    Ok(OfFile { identities: identities.into_iter().map(|one| one as _).collect(), in_memory })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::encryption::recipients::Recipients;

    /// Recipients of which one has this key.
    pub(in crate::encryption) fn pair() -> (Recipients, age::x25519::Identity) {
        let key = age::x25519::Identity::generate();
        let texts = [key.to_public().to_string()];
        (Recipients::of(&texts, &nobody()).unwrap(), key)
    }

    pub(in crate::encryption) fn identities(key: &age::x25519::Identity) -> Identities {
        let all: Vec<Box<dyn age::Identity + Send>> = vec![Box::new(key.clone())];
        Identities { all, unanswered: Arc::default(), in_memory: true }
    }

    pub(in crate::encryption) fn nobody() -> Arc<dyn Ask> {
        Arc::new(Nobody)
    }

    #[test]
    fn what_is_no_identity_is_an_error_that_names_the_file_and_none_of_its_text() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            "hello",
            "",
            "# only a comment",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN AGE ENCRYPTED FILE-----\nAAAA\n-----END AGE ENCRYPTED FILE-----\n",
            "AGE-SECRET-KEY-1SECRET",
        ] {
            let path = folder.path().join("key");
            std::fs::write(&path, text).unwrap();
            let error = Identities::read(&[path], &nobody()).unwrap_err();
            assert!(matches!(error, EncryptionError::Identity { .. }), "{text}: {error}");
            assert!(error.to_string().contains("/key:"), "{error}");
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
        let error = Identities::read(&[folder.path().join("none")], &nobody()).unwrap_err();
        assert!(matches!(error, EncryptionError::Keys { .. }), "{error}");
    }

    #[test]
    fn a_wrong_key_and_none_are_errors_that_name_the_types() {
        let (recipients, _) = pair();
        let file = crate::encryption::seal(
            &crate::encryption::SealedHeader::new(&recipients).unwrap(),
            b"text",
        );
        let file = file.unwrap();
        let (_, other) = pair();
        let error = crate::encryption::open_text(&file, &identities(&other)).unwrap_err();
        assert!(matches!(&error, EncryptionError::NoMatch { types } if types == &["X25519"]));
        assert!(error.to_string().contains("X25519") && error.hint().is_some(), "{error}");
        let error = crate::encryption::open_text(&file, &Identities::read(&[], &nobody()).unwrap())
            .unwrap_err();
        assert!(matches!(error, EncryptionError::NoIdentity { .. }) && error.hint().is_some());
    }
}
