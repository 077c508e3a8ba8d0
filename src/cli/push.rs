//! `vmcorectl push`: entries of this host's store, to object storage.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::exit::{Exit, UsageError};
use super::push_status;
use super::store_folder::StoreArgs;
use super::stored_core::print;
use super::ui;
use super::watch;
use crate::bucket::push::{self, Outcome};
use crate::bucket::queue::{Held, Queue};
use crate::bucket::{BucketError, Rate, Verify, kept};
use crate::printable::shown;
use crate::remote::address::{Address, RemoteAddress};
use crate::remote::{self, Channel};
use crate::render;
use crate::store::entry;
use crate::units::bytes;
use crate::units::parse::{duration, size};
use crate::watch::config::Config;

/// How many entries fail one after another because of the server, until no more are tried.
const FAILURES: usize = 3;

/// Send stored crashes to object storage: s3://, gs://, az://
///
/// What is small goes first: the triage pack, the report, the metadata. Then the entry is listed
/// there, and can be reported on. The core follows in parts, and is published when all of it is
/// there and verified. A push that was interrupted goes on where it was: what is to be sent, and
/// what has been, is in the directory .push of the store. What failed is tried again by the next
/// `push --all`, after a pause of a minute to an hour and a quarter.
///
/// Credentials are found as AWS's, Google's and Azure's own programs find them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  all of it is there, or was there already
  1  an entry could not be pushed
  2  usage
  3  an entry waits for its next try, or another process pushes it")]
pub(super) struct PushArgs {
    /// Entries: an id or its beginning, a directory, `latest` or `latest:GUEST`
    #[arg(value_name = "ENTRY", required_unless_present_any = ["all", "status"], conflicts_with = "all")]
    entries: Vec<String>,
    /// All published entries that are not there yet, and whose next try has come
    #[arg(long)]
    all: bool,
    /// Address of the store that gets them [default: `upload` of /etc/vmcorectl.toml]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Send at most so many bytes in a second, on average
    #[arg(long, value_name = "SIZE", value_parser = size)]
    limit_rate: Option<u64>,
    /// Read each core back when it is there, and compare its SHA-256. Without it, that is done if
    /// the server does not check what it receives, and before a core is removed here
    #[arg(long)]
    read_back: bool,
    /// Remove a core from this machine so long after it was pushed, if it is confirmed to be there
    /// and the entry is not pinned. Report and metadata stay.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    remove_core_after: Option<std::time::Duration>,
    /// Send nothing, and print what is pushed, what waits, and why it failed
    #[arg(long, conflicts_with_all = ["entries", "all", "limit_rate", "remove_core_after", "read_back"])]
    status: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// Print each entry as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What became of an entry, as a line of JSON.
#[derive(Serialize)]
struct PushedJson<'a> {
    entry: &'a str,
    to: &'a str,
    result: &'static str,
    core_bytes: Option<u64>,
    seconds: f64,
    error: Option<String>,
}

/// Pushes the entries.
pub(super) fn run(arguments: &PushArgs) -> anyhow::Result<Exit> {
    let config = config(arguments)?;
    let store = arguments.store.folder_or(config.store)?;
    if arguments.status {
        return push_status::print_all(&store, arguments.json);
    }
    let to = address(arguments.to.clone().or(config.upload))?;
    if cfg!(not(feature = "remote")) {
        anyhow::bail!("{}", remote::LEFT_OUT);
    }
    let queue = Queue::of(&store);
    let entries = match arguments.all {
        true => push::published(&store)?,
        false => find(&arguments.entries, &store)?,
    };
    let mut run = Run { arguments, store: &store, to: &to, channel: None, exit: Exit::Done };
    let mut rate = Rate::new(arguments.limit_rate);
    let mut failures = 0;
    for entry in &entries {
        let Some(mut held) = queue.hold(entry, &to.shown())? else {
            ui::say(&format!("note: {entry} is pushed by another process"));
            run.exit = run.exit.or(Exit::Incomplete);
            continue;
        };
        if arguments.all && !held.item.is_due(Timestamp::now()) {
            if held.item.pushed.is_none() {
                run.exit = run.exit.or(Exit::Incomplete);
            }
            continue;
        }
        match run.push(&mut held, &mut rate)? {
            Some(error) if !error.is_of_the_entry() => failures += 1,
            _ => failures = 0,
        }
        if failures >= FAILURES {
            ui::say("note: the server fails for each entry: no more are tried now");
            break;
        }
    }
    if let Some(after) = arguments.remove_core_after {
        run.remove_cores(&queue, after)?;
    }
    Ok(run.exit)
}

/// The configuration of the watcher, for what was not typed.
fn config(arguments: &PushArgs) -> Result<Config, UsageError> {
    if arguments.to.is_some() && arguments.store.is_named() {
        return Ok(Config::default());
    }
    watch::read(None).map_err(|error| UsageError {
        message: error.to_string(),
        hint: Some(error.hint().to_owned()),
    })
}

/// The address that was typed or configured, which has no secrets: it is in the queue.
fn address(text: Option<String>) -> Result<RemoteAddress, UsageError> {
    let usage = |message: String| UsageError {
        message,
        hint: Some("--to s3://BUCKET/PREFIX, gs://, or az://".to_owned()),
    };
    let text =
        text.ok_or_else(|| usage("no address is given, and none is configured".to_owned()))?;
    match Address::parse(&text) {
        Some(Address::Remote(address)) if address.has_secrets() => Err(usage(
            "an address with a query, a user or a password cannot be pushed to: credentials come \
             from the environment"
                .to_owned(),
        )),
        Some(Address::Remote(address)) => Ok(address),
        _ => Err(usage("this is no address of object storage".to_owned())),
    }
}

/// The entries that were named: `GUEST/ID`.
fn find(wanted: &[String], store: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for wanted in wanted {
        let folder = entry::published_folder(wanted, store)?;
        let name = push::name(store, &folder);
        let name = name.ok_or_else(|| anyhow::anyhow!("the name of {wanted:?} is not UTF-8"))?;
        if !found.contains(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// What goes on for all entries.
struct Run<'a> {
    arguments: &'a PushArgs,
    store: &'a Path,
    to: &'a RemoteAddress,
    /// The way to the server, from the first entry on that needs it.
    channel: Option<Channel>,
    exit: Exit,
}

impl Run<'_> {
    fn channel(&mut self) -> Result<&Channel, remote::RemoteError> {
        if self.channel.is_none() {
            let opened = Channel::open_to_write(remote::start()?, self.to.clone())?;
            self.channel = Some(opened);
        }
        self.channel.as_ref().ok_or(remote::RemoteError::Ended)
    }

    /// Pushes an entry, and prints what became of it. Gives why it failed.
    fn push(&mut self, held: &mut Held, rate: &mut Rate) -> anyhow::Result<Option<BucketError>> {
        let began = std::time::Instant::now();
        let store = self.store;
        let verify = if self.arguments.read_back { Verify::ReadBack } else { Verify::Sent };
        let outcome = self
            .channel()
            .map_err(BucketError::from)
            .and_then(|channel| push::push(channel, store, held, rate, verify));
        let seconds = began.elapsed().as_secs_f64();
        let failed = match outcome {
            Ok(outcome) => {
                self.print(held, outcome, seconds)?;
                None
            }
            Err(error) => {
                // A fetcher that has ended serves no other entry.
                self.channel = None;
                self.exit = Exit::Failed;
                held.item.fail(with_causes(&error), Timestamp::now());
                held.save()?;
                self.print_failed(held, seconds)?;
                Some(error)
            }
        };
        Ok(failed)
    }

    fn print(&self, held: &Held, outcome: Outcome, seconds: f64) -> anyhow::Result<()> {
        if self.channel.as_ref().is_some_and(Channel::ignores_conditions) {
            ui::say(
                "warning: the server ignores If-None-Match: if two hosts push the same entry at the \
                 same time, a core that nothing names may be left there",
            );
        }
        let pushed = held.item.pushed.as_ref();
        let core_bytes = pushed.filter(|pushed| pushed.key.is_some()).map(|pushed| pushed.bytes);
        let (entry, to) = (held.item.entry.as_str(), held.item.to.as_str());
        let result = match outcome {
            Outcome::Pushed => "pushed",
            Outcome::Already => "already-pushed",
            Outcome::Removed => "removed-there",
        };
        if outcome == Outcome::Pushed
            && !self.arguments.read_back
            && pushed.is_some_and(|pushed| pushed.read_back)
        {
            ui::say(
                "note: the server does not check what it receives: the core was read back, and is \
                 what was sent",
            );
        }
        print(|out| match self.arguments.json {
            true => {
                let error = None;
                let line = PushedJson { entry, to, result, core_bytes, seconds, error };
                render::json::line(&line, out)
            }
            false => {
                let what = match (outcome, core_bytes) {
                    (Outcome::Already, _) => "is there already".to_owned(),
                    (Outcome::Removed, _) => {
                        "was removed there while it was sent, and is not sent again".to_owned()
                    }
                    (_, Some(size)) => format!("pushed, with its core of {}", bytes(size)),
                    (_, None) => "pushed; it has no core".to_owned(),
                };
                writeln!(out, "{}  {what}", shown(&format!("{to}/{entry}")))
            }
        })?;
        Ok(())
    }

    fn print_failed(&self, held: &Held, seconds: f64) -> anyhow::Result<()> {
        let item = &held.item;
        let error = item.last_error.clone().unwrap_or_default();
        ui::say(&format!("error: {} is not pushed: {error}", item.entry));
        if self.arguments.json {
            let (result, error) = ("failed", Some(error));
            let line = PushedJson {
                entry: &item.entry,
                to: &item.to,
                result,
                core_bytes: None,
                seconds,
                error,
            };
            print(|out| render::json::line(&line, out))?;
        }
        Ok(())
    }

    /// Removes cores that were pushed so long ago.
    fn remove_cores(&mut self, queue: &Queue, after: std::time::Duration) -> anyhow::Result<()> {
        let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
        let (store, to) = (self.store, self.to.shown());
        queue.forget(|item| !store.join(&item.entry).exists());
        for item in queue.items()?.into_iter().filter(|item| item.to == to) {
            let due = |pushed: &crate::bucket::item::Pushed| {
                pushed.core_removed.is_none()
                    && pushed.key.is_some()
                    && Timestamp::now().duration_since(pushed.at) >= after
            };
            if !item.pushed.as_ref().is_some_and(due) {
                continue;
            }
            let Some(mut held) = queue.hold(&item.entry, &item.to)? else { continue };
            let removed = self
                .channel()
                .map_err(BucketError::from)
                .and_then(|channel| kept::remove_core(channel, store, &mut held));
            match removed {
                Ok(true) => {
                    let path = shown(&store.join(&item.entry).display().to_string()).clone();
                    ui::say(&format!("note: the core of {path} was removed: it is in {to}"));
                }
                Ok(false) => {}
                Err(error) => {
                    let text = with_causes(&error);
                    ui::say(&format!("error: the core of {} is not removed: {text}", item.entry));
                    self.exit = Exit::Failed;
                }
            }
        }
        Ok(())
    }
}

fn with_causes(error: &BucketError) -> String {
    match error {
        BucketError::Io { source, .. } => format!("{error}: {source}"),
        error => error.to_string(),
    }
}

impl Exit {
    /// The worse one.
    fn or(self, other: Self) -> Self {
        if self == Self::Done { other } else { self }
    }
}
