//! `vmcorectl export`: a stored core for other tools.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::Context;
use vmcore_formats::kdump::Codec;

use super::exit::{Exit, UsageError};
use super::kernel::ReadAllArgs;
use super::pages::PagesArgs;
use super::stored_core::{CoreArgs, print};
use super::ui::say;
use crate::export::kdump::Target;
use crate::export::{ExportError, elf, kdump};
use crate::kernel::leave_out;
use crate::printable::shown;
use crate::store::single_file::SingleFile;
use crate::vmcore::Vmcore;
use crate::vmcore::elf_image::ElfImage;

/// Write a stored core in a format that crash, drgn, gdb or makedumpfile reads
///
/// FILE appears under its name when it is whole; until then it is FILE.incomplete.
/// Memory that the core does not hold is left out, never filled with zeros. Of a
/// truncated core the rest is exported, and the exit code is 3.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    read_all: ReadAllArgs,
    /// What to write: a plain ELF core, or a kdump-compressed file
    #[arg(long, value_enum, default_value_t = Form::Elf)]
    format: Form,
    /// Write the kdump-compressed file in the flattened format, as for a pipe
    #[arg(long)]
    flattened: bool,
    /// Where to write it; `-` is the standard output, for which kdump formats are flattened
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    pages: PagesArgs,
    /// Threads that compress or unpack [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// The forms, by the names that they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Sparse ELF, for every tool
    Elf,
    /// kdump-compressed by zlib, for every tool but gdb
    KdumpZlib,
    /// kdump-compressed by LZO, which is slow to write
    KdumpLzo,
    /// kdump-compressed by snappy
    KdumpSnappy,
    /// kdump-compressed by zstd: the smallest, for newer tools
    KdumpZstd,
}

impl Form {
    fn codec(self) -> Option<Codec> {
        match self {
            Self::Elf => None,
            Self::KdumpZlib => Some(Codec::Zlib),
            Self::KdumpLzo => Some(Codec::Lzo),
            Self::KdumpSnappy => Some(Codec::Snappy),
            Self::KdumpZstd => Some(Codec::Zstd),
        }
    }
}

/// Writes the core, and prints the file's path.
pub(super) fn run(arguments: &ExportArgs) -> anyhow::Result<Exit> {
    let codec = arguments.format.codec();
    let to_stdout = arguments.output == Path::new("-");
    if codec.is_none() && arguments.flattened {
        return Err(usage(
            "an ELF core is not flattened",
            "leave out --flattened, or choose a kdump format",
        ));
    }
    if to_stdout && io::stdout().is_terminal() {
        return Err(usage(
            "a core is not written to a terminal",
            "give -o FILE, or pipe it into a program",
        ));
    }
    let reads = arguments.read_all.reads();
    let mut core = match to_stdout {
        true => arguments.core.open(reads)?,
        false => arguments.core.open_to_write(reads, &arguments.output)?,
    };
    arguments.read_all.apply(&core);
    for warning in leave_out::apply(&mut core, arguments.pages.classes()) {
        say(&format!("warning: {warning}"));
    }
    let missing = warn(&core);
    let threads = match arguments.threads {
        Some(threads) => usize::from(threads),
        None => available_parallelism().map_or(1, usize::from),
    };
    let exported = if to_stdout {
        // Not through the standard library's buffer, which looks for line ends.
        let out = io::stdout().as_fd().try_clone_to_owned();
        let out = File::from(out.context("cannot use the standard output")?);
        let mut out = BufWriter::with_capacity(1 << 20, out);
        match codec {
            None => elf::to_stream(&image(&core)?, &mut out, threads),
            Some(codec) => kdump::write(&core, codec, Target::Flattened(&mut out), threads),
        }
        .map(drop)
        .context("cannot export to the standard output")
    } else {
        to_file(arguments, &core, threads)
    };
    exported?;
    if !to_stdout {
        print(|out| writeln!(out, "{}", shown(&arguments.output.display().to_string())))?;
    }
    Ok(if missing { Exit::Incomplete } else { Exit::Done })
}

fn to_file(arguments: &ExportArgs, core: &Vmcore, threads: usize) -> anyhow::Result<()> {
    let path = &arguments.output;
    let (staged, file) = SingleFile::create(path)?;
    let exported = match arguments.format.codec() {
        None => elf::to_file(&image(core)?, &file, threads),
        Some(codec) if arguments.flattened => {
            let mut out = BufWriter::with_capacity(1 << 20, &file);
            kdump::write(core, codec, Target::Flattened(&mut out), threads)
        }
        Some(codec) => kdump::write(core, codec, Target::File(&file), threads),
    };
    exported.with_context(|| format!("cannot export to {}", path.display()))?;
    Ok(staged.publish()?)
}

/// The ELF file to write: the core's own, unless its headers promise what was cut off.
fn image(core: &Vmcore) -> Result<ElfImage, ExportError> {
    Ok(match core.memory().truncated() {
        0 => ElfImage::new(core)?,
        _ => ElfImage::build(core.identity(), core.note_bytes(), core.shared_memory())?,
    })
}

/// Says what the core lacks. Gives whether any of it is missing by accident.
fn warn(core: &Vmcore) -> bool {
    for finding in core.findings() {
        say(&format!("warning: {finding}"));
    }
    core.memory().truncated() > 0
}

fn usage(message: &str, hint: &str) -> anyhow::Error {
    UsageError { message: message.to_owned(), hint: Some(hint.to_owned()) }.into()
}
