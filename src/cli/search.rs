//! `vmcorectl search`: where in a stored core's memory something is.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::{Class, Identity};

use super::exit::{Exit, UsageError};
use super::kernel::ReadAllArgs;
use super::stored_core::{CoreArgs, print};
use super::ui;
use crate::render::{self, places};
use crate::units::bytes;
use crate::units::parse;
use crate::vmcore::nearby::nearby;
use crate::vmcore::pattern::{Pattern, PatternError};
use crate::vmcore::search::{Searched, Wanted, search};
use crate::vmcore::{MemoryRange, Vmcore};

/// Search a stored core's memory for text, bytes or a number
///
/// All physical memory is searched, by several threads. Prints each address at which
/// the pattern begins, and the bytes there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  searched, whether or not something was found
  1  the core could not be opened
  2  usage
  3  a part of the memory could not be searched: the core is damaged or was cut off")]
pub(super) struct SearchArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    read_all: ReadAllArgs,
    /// What to search for: text, as UTF-8
    pattern: String,
    /// PATTERN is bytes in hexadecimal, ?? for any: "de ad ?? ef"
    #[arg(long, conflicts_with = "word")]
    hex: bool,
    /// PATTERN is a number in hexadecimal, as the guest's processor stores it: of 4 or 8 bytes, or of as many as an address has
    #[arg(long, value_name = "4|8|auto", value_parser = ["4", "8", "auto"], num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    word: Option<String>,
    /// Only from this physical address on
    #[arg(long, value_name = "ADDR", value_parser = parse::address)]
    from: Option<u64>,
    /// Only before this physical address
    #[arg(long, value_name = "ADDR", value_parser = parse::address)]
    to: Option<u64>,
    /// Stop after N matches
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "count")]
    limit: u64,
    /// Print N bytes before and after each match, in hexadecimal
    #[arg(short = 'C', long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(0..=4096), conflicts_with_all = ["count", "json"])]
    context: Option<u64>,
    /// Print the number of matches only
    #[arg(long)]
    count: bool,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print each match as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Searches, and prints what was found.
pub(super) fn run(arguments: &SearchArgs) -> anyhow::Result<Exit> {
    let core = arguments.core.open(arguments.read_all.reads())?;
    arguments.read_all.apply(&core);
    let pattern = pattern(arguments, core.identity())?;
    let ranges = ranges(arguments, &core);
    let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = arguments.threads.map_or(available, usize::from);
    let wanted = if arguments.count { Wanted::Count } else { Wanted::First(arguments.limit) };

    let mut searched = Searched::default();
    let exit = print(|out| {
        let mut printed = Ok(());
        searched = search(core.memory(), &ranges, &pattern, threads, wanted, |at| {
            printed = place(arguments, &core, at, pattern.length() as u64, out);
            if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        printed?;
        match (arguments.count, arguments.json) {
            (false, _) => Ok(()),
            (true, false) => writeln!(out, "{}", searched.found),
            (true, true) => {
                render::json::line(&serde_json::json!({ "count": searched.found }), out)
            }
        }
    })?;
    say_what_was_not_searched(arguments, &searched);
    Ok(if searched.damaged { Exit::Incomplete } else { exit })
}

fn pattern(arguments: &SearchArgs, identity: Identity) -> Result<Pattern, UsageError> {
    let text = &*arguments.pattern;
    let usage = |message: String| UsageError { message, hint: None };
    let not = |error: PatternError| usage(format!("{text:?} cannot be searched for: {error}"));
    let Some(size) = &arguments.word else {
        return if arguments.hex { Pattern::hex(text) } else { Pattern::exact(text.as_bytes()) }
            .map_err(not);
    };
    let value = parse::address(text).map_err(usage)?;
    let long = match &**size {
        "4" => false,
        "8" => true,
        _ => identity.class == Class::Elf64,
    };
    if long {
        return Pattern::exact(&identity.endian.u64_bytes(value)).map_err(not);
    }
    let value = u32::try_from(value).map_err(|_| usage(format!("{text} has more than 4 bytes")))?;
    Pattern::exact(&identity.endian.u32_bytes(value)).map_err(not)
}

/// The core's memory, between the bounds that were typed.
fn ranges(arguments: &SearchArgs, core: &Vmcore) -> Vec<MemoryRange> {
    let (from, to) = (arguments.from.unwrap_or(0), arguments.to.unwrap_or(u64::MAX));
    let cut = core.memory().ranges().iter().filter_map(|range| {
        let start = range.start.0.max(from);
        let length = range.end().0.min(to).checked_sub(start).filter(|length| *length > 0)?;
        Some(MemoryRange { start: PhysAddr(start), length })
    });
    cut.collect()
}

fn place(
    arguments: &SearchArgs,
    core: &Vmcore,
    at: PhysAddr,
    length: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    /// How much of a text is shown, and how much of anything else.
    const TEXT: u64 = 80;
    const LINE: u64 = 16;
    if let Some(around) = arguments.context {
        let (start, bytes) = nearby(core.memory(), at, length, (around, around));
        return places::around(at, (start, &bytes), out);
    }
    let as_text = !arguments.hex && arguments.word.is_none();
    let shown = if as_text || arguments.json { TEXT } else { LINE };
    let (_, bytes) = nearby(core.memory(), at, length, (0, shown.saturating_sub(length)));
    match (arguments.json, as_text) {
        (true, _) => places::line(at, &bytes, out),
        (false, true) => places::text(at, &bytes, out),
        (false, false) => places::hex(at, &bytes, out),
    }
}

fn say_what_was_not_searched(arguments: &SearchArgs, searched: &Searched) {
    if searched.more {
        ui::say(&format!(
            "warning: there are more than {} places; --limit N shows more, --count counts them",
            arguments.limit
        ));
    }
    if let Some(problem) = &searched.problem {
        let missing = bytes(searched.missing);
        ui::say(&format!("warning: {missing} of memory could not be searched: {problem}"));
    }
}
