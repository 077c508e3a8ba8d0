//! Crashes of a store, and the reports that are made of their cores.

use std::fmt::Write;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::super::secret_address;
use super::answer::Answer;
use super::shard::Shard;
use crate::cli::remote_store::RemoteStore;
use crate::cli::store_folder::StorePlace;
use crate::interrupt::Interrupt;
use crate::regular_file;
use crate::remote::RemoteError;
use crate::store::{METADATA_FILE, listing, report_file};
use crate::tables::{EntryTexts, PACK_FILE, Row};
use vmcore_formats::text::{MAX_TITLE, lossy};

/// How often the end of a report is looked for.
const INTERVAL: Duration = Duration::from_millis(5);
/// The longest text of a failure that is kept.
const MAX_PROBLEM: usize = 8 << 10;

/// The store.
pub(super) struct Inputs {
    place: Place,
    /// The files with the keys of encrypted cores.
    identities: Vec<PathBuf>,
}

enum Place {
    Folder(PathBuf),
    Elsewhere(Box<RemoteStore>),
}

/// A crash.
pub(super) struct Input {
    /// `GUEST/ID`.
    pub(super) entry: String,
    pub(super) id: String,
    /// The hash of what its report is made of.
    hash: String,
}

/// How the process that made a report ended.
enum Ended {
    Report(Vec<u8>),
    Failed(String),
}

impl Input {
    /// The name of its line with a report.
    pub(super) fn name(&self) -> String {
        format!("{}-{}.json", self.id, self.hash)
    }

    /// The name of its line with a reason.
    pub(super) fn name_of_failure(&self) -> String {
        format!("{}-{}.failed.json", self.id, self.hash)
    }
}

impl Inputs {
    pub(super) fn open(place: &StorePlace, identities: &[PathBuf]) -> anyhow::Result<Self> {
        let place = match place {
            StorePlace::Folder(folder) => Place::Folder(folder.clone()),
            StorePlace::Remote(address) if address.has_query() => {
                bail!("{} has a signature, which is of one object", address.shown())
            }
            StorePlace::Remote(address) => Place::Elsewhere(Box::new(RemoteStore::open(address)?)),
        };
        Ok(Self { place, identities: identities.to_vec() })
    }

    /// The crashes of a shard, by their ids.
    pub(super) fn of(&self, shard: Shard) -> anyhow::Result<Vec<Input>> {
        let is_in = |name: &str| shard.has(name.rsplit_once('/').map_or(name, |(_, id)| id));
        let mut found: Vec<Input> = match &self.place {
            Place::Folder(store) => {
                let (entries, _) = listing::list(store)?;
                let published =
                    entries.into_iter().filter(|entry| entry.published && is_in(&entry.id));
                let inputs = published.filter_map(|entry| {
                    let guest = entry.folder.parent()?.file_name()?.to_str()?;
                    let metadata = entry.folder.join(METADATA_FILE);
                    let metadata = regular_file::read_own(&metadata, report_file::MAX_BYTES).ok();
                    Some(input(&format!("{guest}/{}", entry.id), metadata.as_deref()))
                });
                inputs.collect()
            }
            Place::Elsewhere(store) => store.each(|name| match is_in(name) {
                true => Ok(Some(input(name, store.metadata(name)?.as_deref()))),
                false => Ok(None),
            })?,
        };
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    /// The line of a crash.
    ///
    /// # Errors
    /// Fails if it cannot be made now, and may be made later: the store cannot be reached.
    pub(super) fn answer(
        &self,
        input: &Input,
        limit: Duration,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Answer> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(env!("CARGO_PKG_NAME")).args(["report", "--json"]);
        for file in &self.identities {
            command.arg("--identity").arg(file);
        }
        command.arg("--");
        match &self.place {
            Place::Folder(store) => drop(command.arg(store.join(&input.entry))),
            Place::Elsewhere(store) => {
                secret_address::pass(&mut command, &store.channel.root().join(&input.entry));
            }
        }
        let (report, problem) = match run(&mut command, limit, interrupt)? {
            Ended::Report(report) => (Some(report), None),
            Ended::Failed(problem) if is_of_the_network(&problem) => bail!("{problem}"),
            Ended::Failed(problem) => (None, Some(problem)),
        };
        let row = self.row(input, report.as_deref())?;
        Ok(Answer::new(&input.entry, &input.id, &input.hash, problem, row))
    }

    fn row(&self, input: &Input, report: Option<&[u8]>) -> anyhow::Result<Option<Row>> {
        let store = match &self.place {
            Place::Folder(store) => store,
            Place::Elsewhere(store) => return Ok(store.row(&input.entry, report)?),
        };
        let folder = store.join(&input.entry);
        let read = |name: &str| regular_file::read_own(&folder.join(name), report_file::MAX_BYTES);
        let Ok(metadata) = read(METADATA_FILE) else { return Ok(None) };
        let stored = if report.is_none() { read(crate::store::REPORT_FILE).ok() } else { None };
        let pack = std::fs::symlink_metadata(folder.join(PACK_FILE)).ok();
        let texts = EntryTexts {
            entry: &input.entry,
            metadata: &metadata,
            report: report.or(stored.as_deref()),
            core_bytes: listing::read_entry(&folder).and_then(|entry| entry.core_bytes),
            pack_bytes: pack.map(|file| file.len()),
        };
        Ok(texts.row())
    }
}

fn input(entry: &str, metadata: Option<&[u8]>) -> Input {
    let id = entry.rsplit_once('/').map_or(entry, |(_, id)| id);
    let digest = Sha256::digest(format!("{id}\n{}", chunks(metadata).unwrap_or_default()));
    let hash = digest.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Input { entry: entry.to_owned(), id: id.to_owned(), hash }
}

/// The hash of the core's chunks, as the metadata has it: what distinguishes the core from another
/// one under the same id.
fn chunks(metadata: Option<&[u8]>) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata {
        core: Option<Core>,
    }
    #[derive(Deserialize)]
    struct Core {
        chunks_sha256: Option<String>,
    }
    serde_json::from_slice::<Metadata>(metadata?).ok()?.core?.chunks_sha256
}

/// Whether a report was not made because something cannot be fetched: the next try may do it.
fn is_of_the_network(problem: &str) -> bool {
    let fetcher = RemoteError::Ended.to_string();
    problem.contains("cannot fetch ") || problem.contains(&fetcher)
}

/// Runs a command that prints a report.
///
/// # Errors
/// Fails if it cannot be started, or this process is to end.
fn run(command: &mut Command, limit: Duration, interrupt: &Interrupt) -> anyhow::Result<Ended> {
    let deadline = Instant::now().checked_add(limit);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the process that reports")?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || read(out, report_file::MAX_BYTES));
    let err = thread::spawn(move || read(err, MAX_PROBLEM as u64));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if interrupt.is_raised() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break None;
        }
        thread::sleep(INTERVAL);
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    if interrupt.is_raised() {
        bail!("interrupted by {}", interrupt.signal_name());
    }
    let (report, said) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    Ok(match status {
        None => Ended::Failed(format!("it took longer than {limit:?}")),
        Some(status) if status.success() => Ended::Report(report),
        Some(status) => {
            let said = String::from_utf8_lossy(&said);
            let line = said.lines().find_map(|line| line.strip_prefix("error: "));
            match line {
                Some(line) => Ended::Failed(lossy(line.as_bytes(), MAX_TITLE)),
                None => Ended::Failed(format!("the process that reports ended: {status}")),
            }
        }
    })
}

/// What comes, up to a bound. More is read and dropped, so that whoever writes it ends.
fn read(from: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        let _ = from.by_ref().take(most).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    bytes
}
