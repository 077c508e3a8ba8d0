//! `vmcorectl capture`: hold, dump, store, release.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::exit::{Exit, UsageError};
use super::families::FamiliesArgs;
use super::guest::ConnectArgs;
use super::identity::EncryptArgs;
use super::pages::PagesArgs;
use super::store_folder::StoreArgs;
use super::ui::{StderrObserver, Verbosity};
use crate::capture::{self, Action, ReportOnly, Request, Source, Wait};
use crate::interrupt::Interrupt;
use crate::monitor::Target;
use crate::printable::shown;
use crate::render;
use crate::store::staging::Destination;
use crate::units::parse::{duration, positive_duration, size};

/// The default level: see ARCHITECTURE.md for the measurement.
pub(super) const LEVEL: i32 = 1;

/// Capture a panicked guest, and release it as asked
///
/// The guest's memory is dumped while QEMU holds the guest, compressed on the way, and
/// published in the store when the core is complete. By default the guest stays held.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  captured, and the guest was let go as asked
  1  failed, nothing captured, the guest is as it was
  2  usage
  3  captured, but incomplete
  4  nothing to do: the guest is not panicked
  5  captured, but the guest could not be released, its release was not confirmed,
     or another client had changed the guest
  6  the dump failed, and the guest was released as asked")]
pub(super) struct CaptureArgs {
    /// Path of the guest's QMP unix socket, or `libvirt:` and a domain's name or UUID
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    guest: String,
    #[command(flatten)]
    connect: ConnectArgs,
    /// What to do with the guest after the dump
    /// [default: hold; with --any-state: as it was found]
    #[arg(long, value_name = "ACTION", group = "policy")]
    then: Option<ActionArg>,
    /// Same as --then hold
    #[arg(long, group = "policy")]
    hold: bool,
    /// Same as --then resume
    #[arg(long, group = "policy")]
    resume: bool,
    /// Same as --then reset
    #[arg(long, group = "policy")]
    reset: bool,
    /// Same as --then quit
    #[arg(long, group = "policy")]
    quit: bool,
    /// What to do with the guest if the dump fails
    /// [default: leave it as it was found]
    #[arg(long, value_name = "ACTION")]
    on_failure: Option<ActionArg>,
    /// Release the guest after this time, or as soon as the dump fails, by --on-failure or
    /// else by --then; what was read so far is kept
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    max_hold: Option<Duration>,
    /// Capture a guest that did not panic, too: it is stopped for the dump
    #[arg(long)]
    any_state: bool,
    /// Wait for a panic, for this time at most
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
        value_parser = duration, conflicts_with = "any_state")]
    wait: Option<Option<Duration>>,
    /// With --wait, for a domain of libvirt: have libvirt keep it when it panics
    /// (`on_crash=preserve`), until it is shut off
    #[arg(long, requires = "wait")]
    preserve_on_crash: bool,
    /// Make the report from the held guest, before the dump, so that its title and signature
    /// are known whatever happens to the dump
    #[arg(long)]
    report_first: bool,
    /// Make the report from the held guest, dump nothing, and release the guest by --then: the
    /// entry has report and metadata, and no core
    #[arg(long, conflicts_with_all = ["report_first", "output"])]
    report_only: bool,
    /// Why the core is left out, for the metadata
    #[arg(long, value_name = "TEXT", requires = "report_only")]
    reason: Option<String>,
    /// A note for the metadata
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// How long to wait for an answer of QEMU
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "15s")]
    timeout: Duration,
    #[command(flatten)]
    families: FamiliesArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Write the core to FILE and its metadata to FILE.json instead of the store
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    encrypt: EncryptArgs,
    #[command(flatten)]
    pages: PagesArgs,
    /// zstd level, from -7 to 19
    #[arg(long, value_name = "N", default_value_t = LEVEL, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-7..=19))]
    level: i32,
    /// Threads that compress [default: one for each processor, at most 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Memory for what was read and is not compressed yet: the guest is released once the rest
    /// of its memory fits in there, and the file has room for it. With 0 the guest waits until
    /// the file has all
    /// [default: half of what the host and its control groups have to give]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    spool: Option<u64>,
    /// Space that the file system must keep free
    /// [default: 5 % of it, at most 1 GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep_free: Option<u64>,
    /// The most that the store may have: entries that may go are pruned after the release. If
    /// the dump does not fit even so, only its report is made, and the guest is released by
    /// --on-failure
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "output")]
    store_limit: Option<u64>,
    /// Where the memory comes from
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    source: SourceArg,
    /// Print the metadata as JSON
    #[arg(long)]
    json: bool,
    /// Print every step
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ActionArg {
    /// Leave it stopped
    Hold,
    /// Let it continue
    Resume,
    /// Reset it and let it start
    Reset,
    /// Terminate its QEMU
    Quit,
}

impl From<ActionArg> for Action {
    fn from(action: ActionArg) -> Self {
        match action {
            ActionArg::Hold => Self::Hold,
            ActionArg::Resume => Self::Resume,
            ActionArg::Reset => Self::Reset,
            ActionArg::Quit => Self::Quit,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SourceArg {
    /// From QEMU's process if this user may read it and nothing is in doubt, which holds the
    /// guest for less long; else through QEMU's dump
    Auto,
    /// Through QEMU's dump
    Stream,
    /// As auto, with a warning where the memory comes through QEMU's dump nevertheless. A domain
    /// of libvirt is read so by nothing else: libvirt marks it as tainted when QEMU is asked where
    /// the memory is
    Direct,
}

impl From<SourceArg> for Source {
    fn from(source: SourceArg) -> Self {
        match source {
            SourceArg::Auto => Self::Auto,
            SourceArg::Stream => Self::Stream,
            SourceArg::Direct => Self::Direct,
        }
    }
}

/// Captures, and prints the result.
pub(super) fn run(arguments: &CaptureArgs) -> anyhow::Result<Exit> {
    let request = arguments.request()?;
    // Before the guest is asked for anything.
    request.destination.check_free()?;
    let interrupt = Interrupt::on_signals().context("cannot install signal handlers")?;
    let verbosity = match (arguments.quiet, arguments.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let observer = StderrObserver::new(verbosity).context("cannot start a thread")?;
    let outcome = capture::run(&request, &interrupt, &observer);
    observer.end(&outcome);
    let mut out = Vec::new();
    match (&outcome.metadata, &outcome.entry) {
        (Some(metadata), _) if arguments.json => render::json::pretty(metadata, &mut out)?,
        (_, Some(entry)) => writeln!(out, "{}", shown(&entry.display().to_string()))?,
        _ => {}
    }
    // The capture is done, whether or not anybody hears of it.
    let _ = io::stdout().write_all(&out);
    Ok(outcome.verdict.into())
}

impl CaptureArgs {
    fn target(&self) -> Result<Target, UsageError> {
        let mut target = self.connect.target(&self.guest)?;
        match &mut target {
            Target::Domain(domain) => {
                domain.preserve_on_crash = self.preserve_on_crash;
                domain.may_taint = self.source == SourceArg::Direct;
            }
            Target::Socket { .. } if self.preserve_on_crash => {
                return Err(UsageError {
                    message: "--preserve-on-crash is for a domain of libvirt".to_owned(),
                    hint: Some("QEMU itself is set to hold the guest by --wait".to_owned()),
                });
            }
            Target::Socket { .. } => {}
        }
        Ok(target)
    }

    fn request(&self) -> anyhow::Result<Request> {
        let chosen = [
            (self.hold, Action::Hold),
            (self.resume, Action::Resume),
            (self.reset, Action::Reset),
            (self.quit, Action::Quit),
        ];
        let short = chosen.into_iter().find_map(|(given, action)| given.then_some(action));
        let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let request = Request {
            monitor: self.target()?,
            destination: match &self.output {
                Some(file) => Destination::File(file.clone()),
                None => Destination::Store(self.store.folder()?),
            },
            then: self.then.map(Action::from).or(short),
            on_failure: self.on_failure.map(Action::from),
            max_hold: self.max_hold,
            any_state: self.any_state,
            wait: match self.wait {
                None => Wait::No,
                Some(None) => Wait::Forever,
                Some(Some(limit)) => Wait::For(limit),
            },
            report_first: self.report_first,
            report_only: self.report_only.then(|| ReportOnly { reason: self.reason.clone() }),
            note: self.note.clone(),
            // Before the guest is asked for anything: a plugin may take its time.
            encryption: self.encrypt.encryption()?,
            families: self.families.table_or_own(),
            timeout: self.timeout,
            level: self.level,
            threads: self.threads.map_or(available.min(16), usize::from),
            spool: self.spool,
            pages: self.pages.classes(),
            source: self.source.into(),
            store_limit: self.store_limit,
            keep_free: self.keep_free,
        };
        let kept = matches!(request.after_failure(), None | Some(Action::Hold));
        if request.max_hold.is_some() && kept {
            return Err(UsageError {
                message: "--max-hold needs an action that releases the guest".to_owned(),
                hint: Some("add --on-failure resume, reset or quit".to_owned()),
            }
            .into());
        }
        Ok(request)
    }
}
