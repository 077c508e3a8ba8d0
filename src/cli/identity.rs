//! `--identity` and `--encrypt-to`: keys that open cores, and keys that cores are encrypted to.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::ui::say;
use crate::corefile::read::bytes::{Bytes, PlainFile};
use crate::corefile::read::stored_metadata::Neighbours;
use crate::encryption::identities::Ask;
use crate::encryption::{
    AgeFile, EncryptionError, EntryEncryption, Identities, Recipients, SealedHeader, is_age_file,
};
use crate::metadata::Hidden;
use crate::printable::shown;
use crate::regular_file;
use crate::remote::entry::Unseal;
use crate::sandbox::limits::no_core_file;

/// The option of every command that reads a core.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct IdentityArgs {
    /// File with the key of an encrypted core, as `age -i` takes it: age keys, an ssh key, or those
    /// of a plugin
    #[arg(
        long = "identity",
        value_name = "FILE",
        env = "VMCORECTL_IDENTITY",
        hide_env_values = true
    )]
    files: Vec<PathBuf>,
}

impl IdentityArgs {
    /// Whether none was given.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files, to be passed on to another process.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The identities. Who sits at a terminal may be asked for a passphrase.
    pub(super) fn read(&self) -> Result<Identities, EncryptionError> {
        if !self.is_empty() {
            has_keys();
        }
        Identities::read(&self.files, &terminal())
    }

    /// The plain bytes of a file, which may be encrypted.
    ///
    /// Keys are read and plugins started here: before the process confines itself.
    pub(super) fn plain(&self, file: Arc<dyn Bytes>) -> Result<Plain, EncryptionError> {
        if !is_age_file(&*file)? {
            return Ok(Plain { bytes: file, header: None, finding: None });
        }
        let (opened, header) = AgeFile::open(file, &self.read()?)?;
        let finding = opened.cut_off();
        let finding = finding.map(|problem| format!("the encrypted file is not whole: {problem}"));
        Ok(Plain { bytes: Arc::new(opened), header: Some(header), finding })
    }

    /// The header of a core on this machine, if it is encrypted.
    pub(super) fn header_of(&self, core: &Path) -> anyhow::Result<Option<SealedHeader>> {
        let file = regular_file::open(core).and_then(PlainFile::new);
        let file =
            file.map_err(|source| EncryptionError::Keys { path: core.to_owned(), source })?;
        Ok(self.plain(Arc::new(file))?.header)
    }
}

/// The keys of a remote entry, of which one file is opened after the other.
#[derive(Debug)]
pub(super) struct CoreKeys(Mutex<Identities>);

impl CoreKeys {
    /// Reads them.
    pub(super) fn read(identity: &IdentityArgs) -> Result<Self, EncryptionError> {
        Ok(Self(Mutex::new(identity.read()?)))
    }

    fn lock(&self) -> MutexGuard<'_, Identities> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether they open files in a process that has confined itself.
    pub(super) fn are_in_memory(&self) -> bool {
        self.lock().are_in_memory()
    }

    /// The plain bytes of a triage pack.
    pub(super) fn open_pack(
        &self,
        pack: Arc<dyn Bytes>,
    ) -> Result<Arc<dyn Bytes>, EncryptionError> {
        Ok(Arc::new(AgeFile::open_by_start(pack, &self.lock())?))
    }
}

impl Unseal for CoreKeys {
    fn unseal(&self, core: Arc<dyn Bytes>) -> Result<Arc<dyn Bytes>, String> {
        match AgeFile::open(core, &self.lock()) {
            Ok((opened, _)) => Ok(Arc::new(opened)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Plain bytes.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) bytes: Arc<dyn Bytes>,
    /// The header of the file, if it is encrypted.
    pub(super) header: Option<SealedHeader>,
    /// Why the file is read only as far as it goes, if it is encrypted and was cut off.
    pub(super) finding: Option<String>,
}

/// What is beside an encrypted core, as far as it was opened.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// The text of the metadata, or why it cannot be had; `None` if nobody asked.
    pub(super) metadata: Option<Result<Vec<u8>, String>>,
    /// The triage pack.
    pub(super) pack: Option<Vec<u8>>,
}

impl Neighbours for Beside {
    fn metadata(&self) -> io::Result<Vec<u8>> {
        match &self.metadata {
            Some(Ok(text)) => Ok(text.clone()),
            Some(Err(problem)) => Err(io::Error::other(problem.clone())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn has_metadata(&self) -> bool {
        self.metadata.is_some()
    }

    fn pack(&self) -> io::Result<Arc<dyn Bytes>> {
        match &self.pack {
            Some(pack) => Ok(Arc::new(pack.clone())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The options of the commands that write a core.
#[derive(Debug, clap::Args)]
pub(super) struct EncryptArgs {
    /// Encrypt the entry to a recipient: age1..., `ssh-ed25519 ...`, `ssh-rsa ...`, that of an age
    /// plugin, or a file that has one a line (@FILE). May be given several times
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,
    /// Of what stays in the clear of an encrypted entry, hide the names of guest and host, or the
    /// title of the report
    #[arg(long, value_name = "WHAT", value_delimiter = ',', requires = "encrypt_to")]
    hide: Vec<HideArg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum HideArg {
    /// Names of guest and host: the guest's directory gets an alias
    Names,
    /// The report's title
    Title,
}

impl EncryptArgs {
    /// The keys of a new entry; `None` for one that is not encrypted.
    pub(super) fn encryption(&self) -> Result<Option<Arc<EntryEncryption>>, EncryptionError> {
        if self.encrypt_to.is_empty() {
            return Ok(None);
        }
        let hidden = Hidden {
            names: self.hide.contains(&HideArg::Names),
            title: self.hide.contains(&HideArg::Title),
        };
        has_keys();
        let recipients = recipients(&self.encrypt_to)?;
        Ok(Some(Arc::new(EntryEncryption::new(&recipients, hidden)?)))
    }
}

/// Keeps the keys that are in the memory of this process from now on out of files.
fn has_keys() {
    // Lowering a limit is always allowed.
    let _ = no_core_file();
}

/// What texts that were typed name.
pub(super) fn recipients(texts: &[String]) -> Result<Recipients, EncryptionError> {
    Recipients::of(texts, &terminal())
}

/// Asks at the terminal of the process, if it has one.
fn terminal() -> Arc<dyn Ask> {
    Arc::new(Terminal)
}

/// The terminal.
struct Terminal;

impl Ask for Terminal {
    fn passphrase(&self, what: &str) -> Option<String> {
        ask(what, Echo::No)
    }

    fn text(&self, what: &str) -> Option<String> {
        ask(what, Echo::Yes)
    }

    fn confirm(&self, what: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.unwrap_or("no");
        let answer = ask(&format!("{what} [y: {yes}, n: {no}]"), Echo::Yes)?;
        Some(answer.trim().eq_ignore_ascii_case("y"))
    }

    fn say(&self, text: &str) {
        say(text);
    }
}

/// Whether what is typed can be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    Yes,
    No,
}

/// Asks a question, and gives the line that is the answer.
fn ask(what: &str, echo: Echo) -> Option<String> {
    let terminal = std::fs::File::options().read(true).write(true).open("/dev/tty").ok()?;
    write!(&terminal, "{}: ", shown(what)).ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let _restored = Restored { terminal: &terminal, before: before.clone() };
    if echo == Echo::No {
        let mut silent = before;
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &silent).ok()?;
    }
    let mut line = Zeroizing::new(String::new());
    let read = BufReader::new(&terminal).read_line(&mut line);
    if echo == Echo::No {
        let _ = writeln!(&terminal);
    }
    read.ok().filter(|count| *count > 0)?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Gives the terminal its settings back.
struct Restored<'a> {
    terminal: &'a std::fs::File,
    before: Termios,
}

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        let _: Result<(), io::Error> =
            tcsetattr(self.terminal, OptionalActions::Now, &self.before).map_err(io::Error::from);
    }
}
