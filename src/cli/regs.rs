//! `vmcorectl regs`: the registers of a stored core's vCPUs.

use anyhow::bail;

use super::exit::Exit;
use super::stored_core::{CoreArgs, print};
use crate::render::{self, registers::RegistersJson};
use crate::sandbox::limits::Reads;
use crate::vmcore::registers::Registers;

/// Show the registers of a stored core's vCPUs
///
/// Read from the notes that QEMU, or the kernel that wrote the core, made of each vCPU:
/// general registers always; segment and control registers, with the names of their
/// bits, from QEMU's notes.
#[derive(Debug, clap::Args)]
pub(super) struct RegsArgs {
    #[command(flatten)]
    core: CoreArgs,
    /// Only this vCPU, counted from 0
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Print the registers as JSON, values as strings in hexadecimal
    #[arg(long)]
    json: bool,
}

/// Prints registers.
pub(super) fn run(arguments: &RegsArgs) -> anyhow::Result<Exit> {
    let core = arguments.core.open(Reads::All)?;
    let Registers { cpus, findings } = Registers::of(core.notes(), core.identity());
    let wanted: Vec<_> =
        cpus.iter().filter(|cpu| arguments.cpu.is_none_or(|wanted| cpu.number == wanted)).collect();
    if let (Some(wanted_cpu), true) = (arguments.cpu, wanted.is_empty()) {
        bail!("no vCPU {wanted_cpu} in {}: it has notes of {}", core.path().display(), cpus.len());
    }
    if wanted.is_empty() && findings.is_empty() {
        bail!("no registers in {}: it has no notes of vCPUs", core.path().display());
    }
    print(|out| {
        if arguments.json {
            let machine = core.identity().machine_name();
            render::json::pretty(&RegistersJson::new(machine, &wanted, &findings), out)
        } else {
            render::registers::text(&wanted, &findings, out)
        }
    })
}
