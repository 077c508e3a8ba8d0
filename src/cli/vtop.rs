//! `vmcorectl vtop`: where a virtual address is in memory, step by step.

use anyhow::{Context, bail};
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::paging::root_of_cr3;

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::stored_core::{CoreArgs, print};
use super::ui::say_findings;
use crate::kernel::AddressSpace;
use crate::render;
use crate::render::vtop::Translation;

/// Translate a virtual address with the guest's page tables, and show each step
///
/// Kernel addresses are translated with the kernel's page tables, others with a vCPU's.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  translated, and the page is in the core
  1  not mapped, or an entry or the page is missing
  2  usage")]
pub(super) struct VtopArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Virtual address, hexadecimal
    #[arg(value_parser = address)]
    address: u64,
    /// Use the page tables with this root: the physical address in a CR3 or of a process's pgd
    #[arg(long, visible_alias = "pgd", value_name = "ADDR", value_parser = address)]
    cr3: Option<u64>,
    /// Use the page tables of this vCPU (x86-64), counted from 0
    #[arg(long, value_name = "N", conflicts_with = "cr3")]
    cpu: Option<usize>,
    /// Print the steps as JSON
    #[arg(long)]
    json: bool,
}

/// Prints how an address is translated.
pub(super) fn run(arguments: &VtopArgs) -> anyhow::Result<Exit> {
    let core = arguments.core.open(arguments.find_kernel.reads())?;
    let kernel = arguments.find_kernel.find(&core)?;
    say_findings(core.findings().iter().chain(&kernel.origin()));
    let at = VirtAddr(arguments.address);
    let cpus = QemuCpu::all(core.notes());
    let space = choose(arguments, kernel.space, &cpus, at)?;
    let walk = space.walk(at);
    let mapping = walk.outcome.as_ref().ok();
    let read = mapping.map(|mapping| space.memory().read(mapping.translate(at), &mut [0]));
    let translation = Translation::new(&space, at, &walk, read.as_ref());
    print(|out| {
        if arguments.json {
            render::json::pretty(&translation, out)
        } else {
            render::vtop::text(&translation, out)
        }
    })?;
    Ok(if matches!(read, Some(Ok(()))) { Exit::Done } else { Exit::Failed })
}

/// The tables that were asked for, else those that have the address.
fn choose(
    arguments: &VtopArgs,
    kernel: AddressSpace,
    cpus: &[Option<QemuCpu>],
    at: VirtAddr,
) -> anyhow::Result<AddressSpace> {
    if let Some(root) = arguments.cr3 {
        let process = kernel.of_process(root_of_cr3(root));
        // On arm64 a root has the addresses of one half.
        let upper = kernel.paging().check(at).is_ok() && process.paging().check(at).is_err();
        return Ok(if upper { kernel.at_root(root_of_cr3(root)) } else { process });
    }
    let by_cpu = |number: usize| {
        let cpu = cpus.get(number).with_context(|| match cpus.len() {
            0 => "the core's notes do not tell the vCPUs' page tables; --pgd ADDR names their root"
                .to_owned(),
            count => format!("there is no vCPU {number}; the core has {count}, counted from 0"),
        })?;
        let cpu = cpu.as_ref().with_context(|| {
            format!("QEMU's note of vCPU {number} is cut off; --pgd ADDR names the root of its page tables")
        })?;
        anyhow::Ok(kernel.of_process(root_of_cr3(cpu.cr3())))
    };
    let kernels = at.0 >> 63 == 1;
    match arguments.cpu {
        Some(number) => by_cpu(number),
        None if kernels => Ok(kernel),
        None if cpus.len() == 1 => by_cpu(0),
        None if cpus.is_empty() => bail!(
            "{at} is no kernel address, and the core's notes do not tell the vCPUs' page tables; --pgd ADDR names a process's"
        ),
        None => bail!("{at} is no kernel address: --cpu N or --pgd ADDR says whose it is"),
    }
}

fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.starts_with('+') {
        return Err("it is no hexadecimal number".to_owned());
    }
    // As kernels and debuggers print them: ffffffff`81000000, ffff_ffff_8100_0000.
    let digits: String = digits.chars().filter(|c| !matches!(c, '_' | '`')).collect();
    u64::from_str_radix(&digits, 16)
        .map_err(|error| format!("it is no hexadecimal number: {error}"))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_are_hexadecimal_with_and_without_0x() {
        for text in ["ffffffff81000000", "0xffffffff81000000", "0Xffffffff_81000000"] {
            assert_eq!(address(text), Ok(0xffff_ffff_8100_0000), "{text}");
        }
        for text in ["", "0x", "+5", "-5", "xyz", "1ffffffffffffffff"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
