//! `vmcorectl read`: a stored core's memory.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, bail};

use super::exit::{Exit, UsageError};
use super::kernel::KernelArgs;
use super::stored_core::{CoreArgs, print};
use super::ui::say_findings;
use crate::kernel::view::{Gap, View};
use crate::render::hexdump::{HexDump, Unit};
use crate::render::memory_json::MemoryJson;
use crate::sandbox::limits::Reads;
use crate::units::parse;
use crate::vmcore::Vmcore;

/// Show memory of a stored core
///
/// Stops at the first byte that the core does not hold, prints what came before it, and
/// reports the address and the reason.
#[derive(Debug, clap::Args)]
pub(super) struct ReadArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Address in hexadecimal, with or without 0x
    #[arg(value_name = "ADDR", value_parser = parse::address)]
    address: u64,
    /// How many bytes: 256, 0x100, 4K, 1.5MiB
    #[arg(value_name = "LEN", value_parser = parse::length, default_value = "256")]
    length: u64,
    /// Read the kernel's virtual addresses, not physical ones
    #[arg(short = 'v', long = "virtual")]
    virtual_addresses: bool,
    /// Print numbers of 4 or 8 bytes, in the guest's byte order
    #[arg(long, value_name = "4|8", conflicts_with_all = ["raw", "json"], value_parser = ["4", "8"])]
    words: Option<String>,
    /// Print the bytes as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print JSON, with the bytes in hexadecimal
    #[arg(long)]
    json: bool,
}

/// Prints memory.
pub(super) fn run(arguments: &ReadArgs) -> anyhow::Result<Exit> {
    if arguments.raw && io::stdout().is_terminal() {
        return Err(UsageError {
            message: "raw bytes are not for a terminal".to_owned(),
            hint: Some("send them into a file or a pipe, or leave out --raw".to_owned()),
        }
        .into());
    }
    let core = arguments.core.open(Reads::Unlimited)?;
    // As much is read as was asked for.
    core.read_without_limit();
    let view = view(arguments, &core)?;
    let mut gap = None;
    let exit = print(|out| {
        gap = if arguments.raw {
            view.read_through(arguments.address, arguments.length, |bytes| out.write_all(bytes))?
        } else if arguments.json {
            json(arguments, &view, out)?
        } else {
            text(arguments, unit(arguments, &core), &view, out)?
        };
        Ok(())
    })?;
    if let Some(Gap { at, problem }) = gap {
        let read = at.saturating_sub(arguments.address);
        bail!("{read:#x} of {:#x} bytes read: {problem}", arguments.length);
    }
    Ok(exit)
}

fn view(arguments: &ReadArgs, core: &Vmcore) -> anyhow::Result<View> {
    if !arguments.virtual_addresses {
        return Ok(View::Physical(core.shared_memory()));
    }
    let kernel = arguments.find_kernel.find(core).context("cannot translate virtual addresses")?;
    say_findings(core.findings().iter().chain(&kernel.origin()));
    Ok(View::Virtual(kernel.space))
}

fn unit(arguments: &ReadArgs, core: &Vmcore) -> Unit {
    match arguments.words.as_deref() {
        Some("4") => Unit::Word4(core.identity().endian),
        Some(_) => Unit::Word8(core.identity().endian),
        None => Unit::Byte,
    }
}

fn text(
    arguments: &ReadArgs,
    unit: Unit,
    view: &View,
    out: &mut dyn Write,
) -> io::Result<Option<Gap>> {
    let mut dump = HexDump::new(arguments.address, unit);
    let gap =
        view.read_through(arguments.address, arguments.length, |bytes| dump.add(bytes, &mut *out))?;
    dump.end(out)?;
    Ok(gap)
}

fn json(arguments: &ReadArgs, view: &View, out: &mut dyn Write) -> io::Result<Option<Gap>> {
    let kind = if arguments.virtual_addresses { "virtual" } else { "physical" };
    let mut json = MemoryJson::begin(kind, arguments.address, arguments.length, out)?;
    let gap =
        view.read_through(arguments.address, arguments.length, |bytes| json.add(bytes, &mut *out))?;
    json.end(gap.as_ref().map(|gap| (gap.at, &*gap.problem)), out)?;
    Ok(gap)
}
