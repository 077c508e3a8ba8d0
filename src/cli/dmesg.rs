//! `vmcorectl dmesg`: the guest kernel's log.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use vmcore_formats::printk::{LEVELS, Record};

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::stored_core::{CoreArgs, print};
use super::ui::{say, say_findings};
use crate::kernel::log::Log;
use crate::metadata::{Metadata, NoticedBy};
use crate::render;
use crate::render::dmesg::Style;
use crate::units::parse::duration;

/// Show the guest kernel's log
///
/// It is read from the kernel's memory: no debug symbols are needed. Missing or damaged
/// records are reported on stderr.
#[derive(Debug, clap::Args)]
pub(super) struct DmesgArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Only these levels: names or numbers; `err+` is err and everything more severe
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = levels)]
    level: Vec<Levels>,
    /// Only the last N records
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Only from this time on: since boot (`90.5`, `5m`), or before the last record (`-30s`)
    #[arg(long, value_name = "T", allow_hyphen_values = true, value_parser = since)]
    since: Option<Since>,
    /// Show wall-clock time (UTC), estimated from when the panic was noticed
    #[arg(short = 'T', long)]
    wall_clock: bool,
    /// Show which thread or processor printed a record, where the kernel keeps it
    #[arg(long)]
    caller: bool,
    /// Print each record as a line of JSON
    #[arg(long)]
    json: bool,
}

type Levels = BTreeSet<u8>;

/// Where to begin, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Boot(u64),
    BeforeLast(u64),
}

/// Prints the log, or what was asked of it.
pub(super) fn run(arguments: &DmesgArgs) -> anyhow::Result<Exit> {
    let core = arguments.core.open(arguments.find_kernel.reads())?;
    let kernel = arguments.find_kernel.find(&core)?;
    let log = Log::read(&kernel.space, &kernel.info)?;
    say_findings(core.findings().iter().chain(&kernel.origin()).chain(&log.findings));
    let boot = if arguments.wall_clock {
        let (boot, how) = boot_time(core.metadata().as_ref(), &log)?;
        say(&format!("note: wall-clock times are an estimate: {how}"));
        Some(boot)
    } else {
        None
    };
    let style = Style { boot, caller: arguments.caller };
    print(|out| {
        for record in chosen(arguments, &log.records) {
            if arguments.json {
                render::dmesg::json(record, style, out)?;
            } else {
                render::dmesg::text(record, style, out)?;
            }
        }
        Ok(())
    })
}

fn chosen<'a>(arguments: &DmesgArgs, records: &'a [Record]) -> impl Iterator<Item = &'a Record> {
    let last = records.last().map_or(0, |record| record.time_ns);
    let from = match arguments.since {
        None => 0,
        Some(Since::Boot(from)) => from,
        Some(Since::BeforeLast(before)) => last.saturating_sub(before),
    };
    let levels: Levels = arguments.level.iter().flatten().copied().collect();
    let wanted: Vec<_> = records
        .iter()
        .filter(|record| record.time_ns >= from)
        .filter(|record| levels.is_empty() || levels.contains(&record.level))
        .collect();
    let skip = arguments.tail.map_or(0, |tail| wanted.len().saturating_sub(tail));
    wanted.into_iter().skip(skip)
}

/// When the guest booted, as far as a panic tells that ended its log, and how that is known.
fn boot_time(metadata: Option<&Metadata>, log: &Log) -> anyhow::Result<(Timestamp, String)> {
    let Some(metadata) = metadata else {
        bail!("wall-clock times need the capture's metadata, and this core has none");
    };
    let Some(panic) = &metadata.panic else {
        bail!("wall-clock times need the time of a panic, and this guest had none");
    };
    let last =
        log.records.last().context("the log is empty: nothing tells when the guest booted")?;
    let (time, how) = match (panic.noticed_by, panic.happened) {
        (NoticedBy::Event, Some(happened)) => {
            (happened, "the last record is taken for as old as QEMU's event of the panic")
        }
        _ => (
            panic.noticed,
            "the last record is taken for as old as the panic was noticed, which may have been long after it",
        ),
    };
    let since_boot = i64::try_from(last.time_ns).context("the last record's time is damaged")?;
    let boot = time.checked_sub(SignedDuration::from_nanos(since_boot));
    Ok((boot.context("the last record's time is damaged")?, format!("{how} ({time:.3})")))
}

fn levels(text: &str) -> Result<Levels, String> {
    let (name, and_graver) = match text.strip_suffix('+') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let by_name = LEVELS.iter().position(|level| *level == name);
    let number = by_name.or_else(|| name.parse().ok()).filter(|number| *number < LEVELS.len());
    let number = number.and_then(|number| u8::try_from(number).ok());
    let number =
        number.ok_or_else(|| format!("no level {name:?}; there are {}", LEVELS.join(", ")))?;
    Ok(if and_graver { (0..=number).collect() } else { [number].into() })
}

fn since(text: &str) -> Result<Since, String> {
    let nanos = |text| {
        let span = duration(text)?.as_nanos();
        u64::try_from(span).map_err(|_| "it is too long".to_owned())
    };
    match text.strip_prefix('-') {
        Some(before) => nanos(before).map(Since::BeforeLast),
        None => nanos(text).map(Since::Boot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_names_numbers_and_all_that_is_graver() {
        assert_eq!(levels("err"), Ok([3].into()));
        assert_eq!(levels("4"), Ok([4].into()));
        assert_eq!(levels("crit+"), Ok([0, 1, 2].into()));
        assert!(levels("8").is_err() && levels("").is_err() && levels("loud").is_err());
    }

    #[test]
    fn since_counts_from_boot_or_back_from_the_last_record() {
        assert_eq!(since("1.5"), Ok(Since::Boot(1_500_000_000)));
        assert_eq!(since("-2m"), Ok(Since::BeforeLast(120_000_000_000)));
        assert!(since("yesterday").is_err() && since("--1s").is_err());
    }
}
