//! `vmcorectl report`: what happened to a guest.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::confinement::SandboxArgs;
use super::exit::{Exit, UsageError};
use super::families::FamiliesArgs;
use super::guest::ConnectArgs;
use super::identity::IdentityArgs;
use super::kernel::KernelArgs;
use super::remote_core::RemoteEntry;
use super::store_folder::StoreArgs;
use super::stored_core::{Found, print};
use super::ui::{self, say};
use crate::corefile::pack::{Pack, UsedChunks};
use crate::encryption::{SealedHeader, is_age, open_text, seal, seal_pack};
use crate::held;
use crate::interrupt::Interrupt;
use crate::metadata::Metadata;
use crate::printable::shown;
use crate::regular_file;
use crate::render::report::{html, paint::Paint, text};
use crate::sandbox::limits::Limits;
use crate::sandbox::report::Request;
use crate::store::entry::Entry;
use crate::store::listing::{self, Listed};
use crate::store::report_head::ReportVersion;
use crate::store::single_file::SingleFile;
use crate::store::{ENCRYPTED_REPORT_FILE, core_in, metadata_file, pack_file, report_file};
use crate::triage::crash::families::Families;
use crate::triage::report::data::SCHEMA;
use crate::triage::report::{Report, ReportOptions, STORED_LOG};
use crate::units::parse::positive_duration;

/// How many records of the log a page has.
const LOG_OF_PAGE: usize = 20_000;

/// Say what happened: title, cause, stacks, tasks, memory, log
///
/// Read from the core alone, without debug symbols; or from a guest that is held,
/// before anything is written.
///
/// With --save the reports of stored cores are made again and written beside them: a report
/// is outdated when this version has another schema of reports, or when other families name
/// its crash. `list` and `group` say which are.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`;
    /// or a stopped guest: its QMP socket, or `libvirt:` and a domain's name or UUID. With --save any number of stored cores
    #[arg(value_name = "ENTRY", required_unless_present_any = ["all", "outdated"],
        conflicts_with_all = ["all", "outdated"])]
    entries: Vec<String>,
    /// Write report.json beside each core, over the one that is there, and print its path; in an entry
    /// its triage pack, too
    #[arg(long, conflicts_with_all = ["format", "json", "output"])]
    save: bool,
    /// With --save: all entries of the store
    #[arg(long, requires = "save")]
    all: bool,
    /// With --save: the entries of the store whose report is missing or outdated
    #[arg(long, requires = "save", conflicts_with = "all")]
    outdated: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "json")]
    format: FormatArg,
    /// Same as --format json
    #[arg(long)]
    json: bool,
    /// Write to FILE instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How long to wait for an answer of QEMU, if ENTRY is a guest
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "15s")]
    timeout: Duration,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    #[command(flatten)]
    families: FamiliesArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    /// For a terminal
    Text,
    /// As in report.json
    Json,
    /// One page for a browser that needs nothing else
    Html,
}

/// Prints a report, or writes those of stored cores.
pub(super) fn run(arguments: &ReportArgs) -> anyhow::Result<Exit> {
    if arguments.save {
        return save(arguments);
    }
    let [entry] = arguments.entries.as_slice() else {
        return Err(UsageError {
            message: "one ENTRY is printed at a time".to_owned(),
            hint: Some("--save writes the reports of several".to_owned()),
        }
        .into());
    };
    let format = if arguments.json { FormatArg::Json } else { arguments.format };
    let log_lines = if format == FormatArg::Html { LOG_OF_PAGE } else { STORED_LOG };
    let report = make(entry, arguments, log_lines)?;
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

fn make(entry: &str, arguments: &ReportArgs, log_lines: usize) -> anyhow::Result<Report> {
    let families = arguments.families.table()?;
    let options = ReportOptions { log_lines, search: arguments.find_kernel.depth() };
    if let Some(target) = arguments.connect.target_of_entry(entry)? {
        let interrupt = Interrupt::on_signals().context("cannot install signal handlers")?;
        let request = |metadata| Request::new(&target.label(), Some(metadata), &families, options);
        let answer = held::report_on(&target, arguments.timeout, &interrupt, request)?;
        return Ok(*answer.report);
    }
    let entry = Found::find(entry, &arguments.store, &arguments.identity)?;
    if entry.without_core().is_some() {
        return stored(entry, arguments);
    }
    let reads = arguments.find_kernel.reads();
    let core =
        entry.open(arguments.sandbox, &arguments.identity, reads, arguments.output.as_deref())?;
    Ok(Report::with(&core, core.metadata().as_ref(), &families, options))
}

/// The report of an entry without a core: the one that was made of the held guest.
fn stored(entry: Found, arguments: &ReportArgs) -> anyhow::Result<Report> {
    let (path, json) = match entry {
        Found::Local(entry) => stored_here(entry)?,
        Found::Remote(RemoteEntry::WithoutCore(entry)) => {
            (PathBuf::from(entry.report_address()), entry.report()?)
        }
        Found::Remote(RemoteEntry::Core(_)) => bail!("the entry has a core"),
    };
    let json = match is_age(&json) {
        true => open_text(&json, &arguments.identity.read()?)?.0,
        false => json,
    };
    let limits = Limits::of_stored(json.len() as u64, arguments.find_kernel.reads());
    arguments.sandbox.confine(&limits, arguments.output.as_deref().as_slice());
    let report: Report = serde_json::from_slice(&json)
        .with_context(|| format!("{} is no report of this version", path.display()))?;
    if report.schema != SCHEMA {
        bail!(
            "{} is of schema {}, and this version prints {SCHEMA}",
            path.display(),
            report.schema
        );
    }
    Ok(report)
}

/// The file of a report, and what is in it.
fn stored_here(entry: Entry) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let plain = report_file::path(&entry.core);
    let encrypted = plain.with_file_name(ENCRYPTED_REPORT_FILE);
    let path = if plain.exists() || !encrypted.exists() { plain } else { encrypted };
    let json = match regular_file::read_own(&path, report_file::MAX_BYTES) {
        // Its guest was lost before a report could be made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(entry.with_core().err().map_or(error.into(), Into::into));
        }
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    Ok((path, json))
}

/// Makes the reports of stored cores again, each in a process of its own. One that cannot
/// be made is an error, and the others are made nevertheless.
fn save(arguments: &ReportArgs) -> anyhow::Result<Exit> {
    let families = arguments.families.table()?;
    let interrupt = Interrupt::on_signals().context("cannot install signal handlers")?;
    let options = ReportOptions { log_lines: STORED_LOG, search: arguments.find_kernel.depth() };
    let mut exit = Exit::Done;
    for core in cores_to_save(arguments, &families)? {
        if interrupt.is_raised() {
            bail!("interrupted by {}", interrupt.signal_name());
        }
        let mut header = None;
        let saved = arguments.identity.header_of(&core).and_then(|found| {
            let key = found.as_ref().map(|header| header.key().clone());
            let request = Request::new(&core, None, &families, options).with_key(key);
            let answer = request.with_used_chunks().of_stored(&core, None, &interrupt)?;
            match &found {
                None => report_file::replace(&core, &answer.report.to_json())?,
                Some(header) => replace_encrypted(&core, header, &answer.report, arguments)?,
            }
            header = found;
            Ok(answer.used_chunks)
        });
        match saved {
            Ok(used) => {
                if let Err(error) = save_pack(&core, header.as_ref(), used) {
                    say(&format!("warning: no triage pack: {error:#}"));
                }
                let path = report_file::path(&core).display().to_string();
                print(|out| writeln!(out, "{}", shown(&path)))?;
            }
            Err(error) => {
                ui::error(&error);
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

/// Writes the triage pack of an entry's core anew: another version reads other chunks.
fn save_pack(
    core: &Path,
    header: Option<&SealedHeader>,
    used: Option<UsedChunks>,
) -> anyhow::Result<()> {
    let Some(used) = used.filter(|_| pack_file::path(core).is_some()) else { return Ok(()) };
    if let Some(header) = header {
        let sealed = seal_pack(core, header.key(), header, &used)?;
        return Ok(pack_file::replace(core, sealed.len() as u64, |out| out.write_all(&sealed))?);
    }
    let pack = Pack::of_file(core, &used)?;
    Ok(pack_file::replace(core, pack.length(), |out| pack.write(out))?)
}

/// Writes the report of an encrypted core over the old one, for the recipients of that, or of the
/// core. What stays in the clear follows, as far as it did.
fn replace_encrypted(
    core: &Path,
    header: &SealedHeader,
    report: &Report,
    arguments: &ReportArgs,
) -> anyhow::Result<()> {
    let old = regular_file::read_own(&report_file::path(core), report_file::MAX_BYTES);
    let old = match old {
        Ok(old) if is_age(&old) => Some(open_text(&old, &arguments.identity.read()?)?.1),
        _ => None,
    };
    let header = old.as_ref().unwrap_or(header);
    report_file::replace(core, &seal(header, &report.to_json())?)?;
    let clear = regular_file::read_own(&metadata_file::path(core), report_file::MAX_BYTES);
    let clear = clear.ok().and_then(|text| serde_json::from_slice::<Metadata>(&text).ok());
    let Some(mut clear) = clear.filter(|clear| clear.encrypted.is_some()) else { return Ok(()) };
    clear.title = clear.title.map(|_| report.title.clone());
    clear.signature.clone_from(&report.signature);
    Ok(metadata_file::replace(core, &clear.to_json())?)
}

/// The cores whose reports are wanted. All that are named exist, or none is touched.
fn cores_to_save(arguments: &ReportArgs, families: &Families) -> anyhow::Result<Vec<PathBuf>> {
    let store = arguments.store.folder()?;
    if !arguments.all && !arguments.outdated {
        let find = |entry: &String| Ok(Entry::find(entry, &store)?.with_core()?);
        return arguments.entries.iter().map(find).collect();
    }
    let (entries, problems) = listing::list(&store)?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem.into());
    }
    let current = ReportVersion { schema: SCHEMA, families: families.version() };
    let is_wanted = |entry: &Listed| {
        let report = entry.report.as_ref();
        let up_to_date = report.and_then(|report| report.is_outdated(&current)) == Some(false);
        entry.published && entry.core_bytes.is_some() && !(arguments.outdated && up_to_date)
    };
    let wanted = entries.iter().filter(|entry| is_wanted(entry));
    Ok(wanted.map(|entry| core_in(&entry.folder)).collect())
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
