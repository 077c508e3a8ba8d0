//! `vmcorectl report`: what happened to a guest.

use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::Context;

use super::exit::Exit;
use super::families::FamiliesArgs;
use super::guest;
use super::quantity::positive_duration;
use super::store_folder::StoreArgs;
use super::stored_core::print;
use crate::held;
use crate::interrupt::Interrupt;
use crate::render::report::{html, paint::Paint, text};
use crate::store::entry::Entry;
use crate::store::single_file::SingleFile;
use crate::triage::report::{Report, STORED_LOG};
use crate::vmcore::Vmcore;

/// How many records of the log a page has.
const LOG_OF_PAGE: usize = 20_000;

/// Say what happened: title, cause, stacks, tasks, memory, log
///
/// Read out of the core alone, without debug symbols; or out of a guest that is held,
/// before anything is written.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`;
    /// or the QMP socket of a guest that stands still
    entry: String,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "json")]
    format: FormatArg,
    /// Same as --format json
    #[arg(long)]
    json: bool,
    /// Write to FILE instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How long QEMU may stay silent, if ENTRY is a guest
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "15s")]
    timeout: Duration,
    #[command(flatten)]
    families: FamiliesArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    /// For a terminal
    Text,
    /// As it stands in report.json
    Json,
    /// One page for a browser that needs nothing else
    Html,
}

/// Prints a report.
pub(super) fn run(arguments: &ReportArgs) -> anyhow::Result<Exit> {
    let format = if arguments.json { FormatArg::Json } else { arguments.format };
    let log_lines = if format == FormatArg::Html { LOG_OF_PAGE } else { STORED_LOG };
    let report = make(arguments, log_lines)?;
    let Some(path) = &arguments.output else {
        let colours = io::stdout().is_terminal() && colours_wanted();
        return print(|out| write(&report, format, Paint { colours }, out));
    };
    let (file, mut out) = SingleFile::create(path)?;
    let mut bytes = Vec::new();
    write(&report, format, Paint { colours: false }, &mut bytes)?;
    out.write_all(&bytes).with_context(|| format!("cannot write {}", path.display()))?;
    file.publish()?;
    Ok(Exit::Done)
}

fn make(arguments: &ReportArgs, log_lines: usize) -> anyhow::Result<Report> {
    let families = arguments.families.table()?;
    if let Some(socket) = socket(&arguments.entry)? {
        let interrupt = Interrupt::on_signals().context("cannot install signal handlers")?;
        let report =
            held::read_guest(&socket, arguments.timeout, &interrupt, move |core, story| {
                Report::with(&core, Some(&story), &families, log_lines)
            })?;
        return Ok(report);
    }
    let path = Entry::find(&arguments.entry, &arguments.store.folder())?.core;
    let core = Vmcore::open(&path)?;
    Ok(Report::with(&core, core.metadata().as_ref(), &families, log_lines))
}

/// The monitor's socket, if `entry` is one.
fn socket(entry: &str) -> anyhow::Result<Option<PathBuf>> {
    if !entry.starts_with("unix:") && !is_socket(Path::new(entry)) {
        return Ok(None);
    }
    Ok(Some(guest::socket(entry)?))
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

fn write(report: &Report, format: FormatArg, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    match format {
        FormatArg::Text => text::text(report, paint, out),
        FormatArg::Json => out.write_all(&report.to_json()),
        FormatArg::Html => html::page(report, out),
    }
}

/// Whether the environment has nothing against colours: <https://no-color.org>.
fn colours_wanted() -> bool {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|terminal| terminal != "dumb")
}
