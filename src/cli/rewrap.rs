//! `vmcorectl rewrap`: further recipients for an encrypted entry.

use std::io::Seek;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::completers;
use super::exit::{Exit, UsageError};
use super::identity::{IdentityArgs, recipients};
use super::store_folder::{StoreArgs, StorePlace};
use super::stored_core::print;
use crate::encryption::{self, Identities, Recipients};
use crate::metadata::{ENCRYPTED_METADATA_FILE, Encrypted, METADATA_FILE, Metadata};
use crate::printable::shown;
use crate::regular_file;
use crate::remote::address::{Address, RemoteAddress};
use crate::store::entry::Entry;
use crate::store::{
    ENCRYPTED_REPORT_FILE, core_hash, is_in_entry, metadata_file, pack_file, report_file,
};

/// Encrypt a stored crash to further recipients
///
/// Its files get new headers; the payloads are copied as they are. Nobody loses access: who had a
/// key may have the contents, too. To take a recipient away, import the core anew.
#[derive(Debug, clap::Args)]
pub(super) struct RewrapArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`
    #[arg(add = completers::entries())]
    entry: String,
    #[command(flatten)]
    identity: IdentityArgs,
    /// A further recipient: age1..., `ssh-ed25519 ...`, `ssh-rsa ...`, that of an age plugin, or a
    /// file that has one a line (@FILE). May be given several times
    #[arg(long, value_name = "RECIPIENT", required = true)]
    encrypt_to: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Writes the headers anew, and prints the files.
pub(super) fn run(arguments: &RewrapArgs) -> anyhow::Result<Exit> {
    let core = find(arguments)?;
    let text = regular_file::read_own(&metadata_file::path(&core), report_file::MAX_BYTES);
    let clear = text.ok().and_then(|text| serde_json::from_slice::<Metadata>(&text).ok());
    let encrypted = clear.as_ref().and_then(|clear| clear.encrypted.clone());
    let Some((clear, encrypted)) = clear.zip(encrypted) else {
        bail!("{} is not encrypted", core.display());
    };
    let (identities, recipients) = (arguments.identity.read()?, recipients(&arguments.encrypt_to)?);
    let beside = match is_in_entry(&core) {
        // The core may have been left out.
        true => {
            [ENCRYPTED_REPORT_FILE, ENCRYPTED_METADATA_FILE].map(|name| core.with_file_name(name))
        }
        false => [report_file::path(&core), report_file::sealed_metadata(&core)],
    };
    let all = beside.into_iter().chain(pack_file::path(&core)).chain([core.clone()]);
    let files: Vec<PathBuf> = all.filter(|path| path.is_file()).collect();
    if let Some(recorded) = encrypted.core_file_sha256.as_ref().filter(|_| files.contains(&core)) {
        check(&core, recorded)?;
    }
    // While the core may have its old or its new header, the metadata has neither length nor hash.
    let unsure = Encrypted { core_file_bytes: None, core_file_sha256: None, ..encrypted.clone() };
    let unsure = Metadata { encrypted: Some(unsure), ..clear.clone() };
    let mut core_file_sha256 = None;
    for path in &files {
        let sha256 = rewrap(path, &identities, &recipients, || match *path == core {
            true => Ok(metadata_file::replace(&core, &unsure.to_json())?),
            false => Ok(()),
        });
        let sha256 = sha256.with_context(|| format!("cannot encrypt {} anew", path.display()))?;
        core_file_sha256 = Some(sha256).filter(|_| *path == core);
    }
    let mut to = encrypted.to;
    for key in recipients.keys() {
        if !to.contains(key) {
            to.push(key.clone());
        }
    }
    let core_file_bytes = core.metadata().ok().map(|file| file.len());
    let encrypted = Some(Encrypted { to, core_file_bytes, core_file_sha256 });
    let clear = Metadata { encrypted, ..clear };
    metadata_file::replace(&core, &clear.to_json())?;
    print(|out| {
        files.iter().try_for_each(|path| writeln!(out, "{}", shown(&path.display().to_string())))
    })
}

/// The core of an entry on this machine.
fn find(arguments: &RewrapArgs) -> anyhow::Result<PathBuf> {
    let elsewhere = |address: &RemoteAddress| UsageError {
        message: format!("{} is not on this machine: its files cannot be changed", address.shown()),
        hint: Some(
            "`pull` the entry, `rewrap` it here, `rm` it there and `push` it again".to_owned(),
        ),
    };
    match (Address::parse(&arguments.entry), arguments.store.place()) {
        (Some(Address::Remote(address)), _) => Err(elsewhere(&address).into()),
        (Some(Address::Local(path)), _) => Ok(Entry::at(&path).core),
        (None, StorePlace::Remote(address)) => Err(elsewhere(&address).into()),
        (None, StorePlace::Folder(folder)) => Ok(Entry::find(&arguments.entry, &folder)?.core),
    }
}

/// A payload that is damaged must not get a new hash, by which it is whole.
fn check(core: &Path, recorded: &str) -> anyhow::Result<()> {
    let found = regular_file::open(core).and_then(|mut file| core_hash::of(&mut file));
    let found = found.with_context(|| format!("cannot read {}", core.display()))?;
    if found != recorded {
        bail!("{} is damaged: its SHA-256 is not the one in {METADATA_FILE}", core.display());
    }
    Ok(())
}

/// Gives the SHA-256 of the new file. `written` is called before that takes the old one's name.
fn rewrap(
    path: &Path,
    identities: &Identities,
    recipients: &Recipients,
    written: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let file = regular_file::open(path)?;
    let mut sha256 = String::new();
    metadata_file::replace_with(path, |out| {
        encryption::rewrap(&file, out, identities, recipients)?;
        out.rewind()?;
        sha256 = core_hash::of(out)?;
        written()
    })?;
    Ok(sha256)
}
