//! `vmcorectl triage`: the reports of many stored crashes made anew, a part of them by each process.

mod answer;
mod input;
mod output;
mod shard;

use std::time::Duration;

use anyhow::{Context, bail};

use super::exit::Exit;
use super::identity::IdentityArgs;
use super::store_folder::{StorePlace, place};
use super::stored_core::print;
use super::ui;
use crate::interrupt::Interrupt;
use crate::units::parse::positive_duration;
use clap::builder::{OsStringValueParser, TypedValueParser};
use input::Inputs;
use output::Output;
use shard::Shard;

/// Make the reports of many stored crashes anew, a part of them by each process
///
/// Each crash belongs to one shard, by its id. Its answer is a file of one line of JSON,
/// `VERSION/ID-INPUT.json` below --out, with the row of the crash; it is created once, so that a
/// shard that is run again does what is missing. Each report is made by a confined process of its
/// own: a core that cannot be explained costs its own line, which has the reason. What --identity
/// opens is in the line in the clear.
///
/// Exit code 0: each crash of the shard has its line. 1: some have none, and the shard has to be
/// run again.
#[derive(Debug, clap::Args)]
pub(super) struct TriageArgs {
    /// Which part: 0/8 is the first of eight
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: Shard,
    /// The store: a directory, or an address
    #[arg(long, value_name = "STORE", value_parser = OsStringValueParser::new().map(|text| place(&text)))]
    from: StorePlace,
    /// Where the lines go: a directory, or an address
    #[arg(long, value_name = "PLACE", value_parser = OsStringValueParser::new().map(|text| place(&text)))]
    out: StorePlace,
    #[command(flatten)]
    identity: IdentityArgs,
    /// How long one report may take
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "10m")]
    timeout: Duration,
    /// Try those again whose line has a reason instead of a report
    #[arg(long)]
    retry_failed: bool,
}

/// What was done.
#[derive(Default)]
struct Done {
    /// Lines with a report, and with a reason.
    reports: usize,
    failed: usize,
    /// Crashes that had their line.
    skipped: usize,
    /// Crashes that still have none.
    missing: usize,
}

/// Makes the lines of a shard.
pub(super) fn run(arguments: &TriageArgs) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::on_signals().context("cannot install signal handlers")?;
    let inputs = Inputs::open(&arguments.from, arguments.identity.files())?;
    let output = Output::open(&arguments.out)?;
    let there = output.names()?;
    let mut done = Done::default();
    for input in inputs.of(arguments.shard)? {
        if interrupt.is_raised() {
            bail!("interrupted by {}", interrupt.signal_name());
        }
        let (name, failed) = (input.name(), input.name_of_failure());
        let has_failed = there.contains(&failed);
        if there.contains(&name) || has_failed && !arguments.retry_failed {
            done.skipped += 1;
            continue;
        }
        let made = inputs.answer(&input, arguments.timeout, &interrupt);
        let (name, answer) = match made {
            Ok(answer) if answer.is_report() => (name, answer),
            Ok(answer) => (failed, answer),
            Err(problem) => {
                ui::error(&problem.context(format!("{} has no line", input.entry)));
                done.missing += 1;
                continue;
            }
        };
        match output.put(&name, &answer.to_json()) {
            Ok(_) if answer.is_report() => done.reports += 1,
            Ok(_) => done.failed += 1,
            Err(problem) => {
                ui::error(&problem.context(format!("{} has no line", input.entry)));
                done.missing += 1;
            }
        }
    }
    let printed = print(|out| {
        let Done { reports, failed, skipped, missing } = done;
        writeln!(
            out,
            "{reports} reports, {failed} failures, {skipped} there already, {missing} missing"
        )
    })?;
    Ok(if done.missing == 0 { printed } else { Exit::Failed })
}
