//! `vmcorectl verify`: checks a stored core for damage.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::Path;

use super::exit::Exit;
use super::kernel::ReadAllArgs;
use super::stored_core::{CoreArgs, print};
use crate::corefile::read::bytes::Bytes;
use crate::encryption::AgeFile;
use crate::metadata::{CaptureResult, METADATA_FILE, Metadata};
use crate::render;
use crate::store::core_hash;
use crate::vmcore::Vmcore;
use crate::vmcore::verify::{Damage, Verification, verify};

/// Check a stored core from end to end
///
/// Unpacks every chunk and compares its checksum, checks the headers of the ELF core, and
/// compares the metadata with the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  everything is as it should be
  1  damaged, or it could not be opened
  2  usage
  3  nothing is damaged, but a part is missing")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    read_all: ReadAllArgs,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Checks a core, and says what is wrong with it.
pub(super) fn run(arguments: &VerifyArgs) -> anyhow::Result<Exit> {
    let (entry, identity) = (arguments.core.find()?, arguments.core.identity());
    let clear = entry.in_the_clear();
    if let Some(clear) = clear.as_ref().filter(|_| identity.is_empty()) {
        let found = without_key(&*entry.stored_bytes()?, clear);
        return print_found(arguments, Path::new(arguments.core.name()), &found);
    }
    let core =
        entry.open_to_verify(arguments.core.sandbox(), identity, arguments.read_all.reads())?;
    arguments.read_all.apply(&core);
    let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut found = verify(&core, arguments.threads.map_or(available, usize::from));
    if let Some(clear) = &clear {
        found.damage.extend(contradictions(clear, &core));
    }
    print_found(arguments, core.path(), &found)
}

/// What can be checked of an encrypted core without its key: whether its file is as it was written.
fn without_key(file: &dyn Bytes, clear: &Metadata) -> Verification {
    let mut found = Verification { bytes: file.length(), ..Verification::default() };
    let mut damage = |problem: String| found.damage.push(Damage { problem, ..Damage::default() });
    let recorded = clear.encrypted.as_ref();
    let length = recorded.and_then(|encrypted| encrypted.core_file_bytes);
    let sha256 = recorded.and_then(|encrypted| encrypted.core_file_sha256.as_ref());
    if let Err(error) = AgeFile::length_of(file) {
        damage(error.to_string());
    }
    if let Some(length) = length.filter(|length| *length != file.length()) {
        let bytes = file.length();
        damage(format!("the file has {bytes} bytes, and {METADATA_FILE} says {length}"));
    } else if let Some(sha256) = sha256 {
        file.read_without_limit();
        match core_hash::of(&mut Whole { file, offset: 0 }) {
            Ok(found) if found == *sha256 => {}
            Ok(_) => damage(format!("the file's SHA-256 is not the one in {METADATA_FILE}")),
            Err(error) => damage(error.to_string()),
        }
    }
    if sha256.is_none() {
        found.bytes = 0;
        found.missing.push(
            "its contents were not checked: they are encrypted, and no identity was given"
                .to_owned(),
        );
    }
    found
}

/// All bytes of a file, in order.
struct Whole<'a> {
    file: &'a dyn Bytes,
    offset: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.file.length().saturating_sub(self.offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        self.file.read(self.offset, buffer).map_err(io::Error::other)?;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}

/// What the metadata in the clear says otherwise than those in the core.
fn contradictions(clear: &Metadata, core: &Vmcore) -> Option<Damage> {
    let recorded = clear.encrypted.as_ref().and_then(|encrypted| encrypted.core_file_bytes);
    let cut_off = core.chunked().and_then(|chunked| chunked.table().cut_off());
    let inside = core.metadata()?;
    let same = (&clear.id, clear.started, clear.result, &clear.core)
        == (&inside.id, inside.started, inside.result, &inside.core);
    let problem = match recorded {
        Some(bytes) if cut_off.is_some() => {
            format!("{METADATA_FILE} says that the file has {bytes} bytes, and it was cut off")
        }
        Some(_) if same => return None,
        // As an interrupted capture leaves it.
        None if same && clear.result == CaptureResult::Capturing => return None,
        _ => format!("{METADATA_FILE} contradicts the metadata in the core"),
    };
    Some(Damage { problem, ..Damage::default() })
}

fn print_found(arguments: &VerifyArgs, path: &Path, found: &Verification) -> anyhow::Result<Exit> {
    print(|out| {
        if arguments.json {
            render::json::pretty(found, out)
        } else {
            render::verify::text(path, found, out)
        }
    })?;
    Ok(match (found.damage.is_empty(), found.missing.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Incomplete,
        (true, true) => Exit::Done,
    })
}
