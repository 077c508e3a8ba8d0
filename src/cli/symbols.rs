//! `vmcorectl symbols`: what a core knows of its kernel, as files for other tools.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::stored_core::{CoreArgs, print};
use super::ui::{say, say_findings};
use crate::kernel::Kernel;
use crate::printable::shown;
use crate::store::single_file::SingleFile;
use crate::vmlinux::{Contents, MadeVmlinux};

/// Write the kernel's symbols and types, out of its own memory, as a file for debuggers
///
/// `elf` is a vmlinux that crash, drgn and gdb take for the kernel's: symbols of kallsyms, types
/// and prototypes of BTF, ORC tables, text and data. FILE appears under its name when it is
/// whole. What is missing or damaged is reported on stderr.
#[derive(Debug, clap::Args)]
pub(super) struct SymbolsArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// What to write
    #[arg(long, value_enum, default_value_t = Form::Elf)]
    format: Form,
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Also list variables of known names that are left out, because none of their types fits
    #[arg(short, long)]
    verbose: bool,
}

/// The forms, by the names that they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A vmlinux
    Elf,
}

/// Writes the file, and prints its path.
pub(super) fn run(arguments: &SymbolsArgs) -> anyhow::Result<Exit> {
    let output = &arguments.output;
    let core = arguments.core.open_to_write(arguments.find_kernel.reads(), output)?;
    let kernel = arguments.find_kernel.find(&core)?;
    say_findings(core.findings().iter().chain(&kernel.origin()));
    match arguments.format {
        Form::Elf => elf(&kernel, output, arguments.verbose)?,
    }
    print(|out| writeln!(out, "{}", shown(&output.display().to_string())))
}

fn elf(kernel: &Kernel, output: &Path, verbose: bool) -> anyhow::Result<()> {
    let made = MadeVmlinux::of(kernel)?;
    say_findings(made.findings());
    if verbose {
        made.notes().iter().for_each(|note| say(&format!("note: {note}")));
    }
    if !made.has_types() {
        say("warning: the kernel has no types (BTF): the file has symbols and code only");
    }
    let (staged, file) = SingleFile::create(output)?;
    let missing = made.write(Contents::Memory, &file);
    let missing = missing.with_context(|| format!("cannot write {}", output.display()))?;
    if missing > 0 {
        say(&format!("warning: {missing} bytes of the kernel's image are not in the core"));
    }
    Ok(staged.publish()?)
}
