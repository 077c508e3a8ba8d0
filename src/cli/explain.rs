//! `vmcorectl explain`: the evidence for a crash's title.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::completers;
use super::confinement::SandboxArgs;
use super::exit::Exit;
use super::families::FamiliesArgs;
use super::identity::IdentityArgs;
use super::kernel::KernelArgs;
use super::log_input::{self, LogId, TextLog};
use super::store_folder::StoreArgs;
use super::stored_core::{Found, print};
use super::ui::{say, say_findings};
use crate::kernel::log::Log;
use crate::render;
use crate::sandbox::limits::{Limits, Reads};
use crate::triage::CoreStacks;
use crate::triage::crash::families::Families;
use crate::triage::crash::{self, Crash, other_system};
use crate::triage::log::{self, LogRecord, console};

/// Show which log records and stack frames a crash's title and signature are derived from
///
/// The log comes from a stored core, or is text from a serial console, pstore or a journal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  there is a crash in the log; with --jsonl: each line was read
  1  there is none, or the log cannot be read
  2  usage")]
pub(super) struct ExplainArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`
    #[arg(required_unless_present_any = ["log", "jsonl"], add = completers::entries())]
    entry: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Read a text log instead; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["entry", "jsonl"])]
    log: Option<PathBuf>,
    /// Read lines of {"id": ..., "log": ...}, and print a line of JSON for each
    #[arg(long, value_name = "FILE", conflicts_with = "entry")]
    jsonl: Option<PathBuf>,
    #[command(flatten)]
    families: FamiliesArgs,
    /// Print the crash as JSON
    #[arg(long)]
    json: bool,
}

/// A line of `--jsonl`.
#[derive(Deserialize)]
struct JsonLog {
    id: LogId,
    log: String,
}

/// Prints the crash in a log.
pub(super) fn run(arguments: &ExplainArgs) -> anyhow::Result<Exit> {
    let families = arguments.families.table()?;
    if let Some(path) = &arguments.jsonl {
        return each(path, &families, arguments.sandbox);
    }
    let (records, stacks) = match (&arguments.log, &arguments.entry) {
        (Some(path), _) => (of_text(path, arguments.sandbox)?, CoreStacks::default()),
        (None, Some(entry)) => of_core(entry, arguments)?,
        (None, None) => bail!("neither a core nor a log was named"),
    };
    let crash = crash::with_stacks(&records, &families, &stacks);
    let other = if crash.is_none() { other_system::find(&records) } else { None };
    print(|out| match &crash {
        Some(crash) if arguments.json => render::explain::json(None, Some(crash), None, out),
        Some(crash) => render::explain::text(crash, &families, out),
        None if arguments.json => render::explain::json(None, None, other.as_ref(), out),
        None => render::explain::none(records.len(), other.as_ref(), out),
    })?;
    Ok(if crash.is_some() { Exit::Done } else { Exit::Failed })
}

/// The records of a text log, or of its end.
fn of_text(path: &Path, sandbox: SandboxArgs) -> anyhow::Result<Vec<LogRecord>> {
    let input = open(path, sandbox)?;
    let log = TextLog::read(input, log_input::KEPT);
    let log = log.with_context(|| format!("cannot read {}", path.display()))?;
    let mut records = console::records(&log.text);
    if log.skipped > 0 {
        say(&format!("note: the log is long: its first {} lines are left out", log.skipped));
        let skipped = u32::try_from(log.skipped).unwrap_or(u32::MAX);
        for record in records.iter_mut().filter(|record| record.line > 0) {
            record.line = record.line.saturating_add(skipped);
        }
    }
    Ok(records)
}

/// Opens a text, and confines this process before it parses any of it.
fn open(path: &Path, sandbox: SandboxArgs) -> anyhow::Result<Box<dyn Read>> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
    };
    // Of any number of logs: no limit on time.
    sandbox.confine(&Limits::of_stored(0, Reads::Unlimited), &[]);
    Ok(input)
}

/// The log of a stored core, and the stacks of its CPUs.
fn of_core(entry: &str, arguments: &ExplainArgs) -> anyhow::Result<(Vec<LogRecord>, CoreStacks)> {
    let entry = Found::find(entry, &arguments.store, &arguments.identity)?;
    let core =
        entry.open(arguments.sandbox, &arguments.identity, arguments.find_kernel.reads(), None)?;
    let kernel = arguments.find_kernel.find(&core)?;
    let log = Log::read(&kernel.space, &kernel.info)?;
    say_findings(core.findings().iter().chain(&kernel.origin()).chain(&log.findings));
    let stacks = CoreStacks::read(&kernel, &core, core.metadata().as_ref());
    Ok((log::of_kernel(&log.records), stacks))
}

/// A line for each line.
fn each(path: &Path, families: &Families, sandbox: SandboxArgs) -> anyhow::Result<Exit> {
    let input = open(path, sandbox)?;
    let mut failed = None;
    let printed = print(|out| {
        let mut input = BufReader::with_capacity(1 << 16, input);
        for number in 1_u64.. {
            let line = match log_input::line(&mut input) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    failed = Some(format!("line {number}: {error}"));
                    break;
                }
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<JsonLog>(&line) {
                Ok(JsonLog { id: LogId(id), log }) => {
                    drop(line);
                    let records = console::records(log.as_bytes());
                    let crash: Option<Crash> = crash::of(&records, families);
                    let other = crash.is_none().then(|| other_system::find(&records)).flatten();
                    render::explain::json(Some(&id), crash.as_ref(), other.as_ref(), out)?;
                }
                Err(error) => {
                    failed = Some(format!("line {number}: {error}"));
                    break;
                }
            }
        }
        Ok(())
    })?;
    match failed {
        Some(failed) => bail!("{}: {failed}", path.display()),
        None => Ok(printed),
    }
}
