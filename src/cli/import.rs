//! `vmcorectl import`: a foreign dump into the store.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context;

use super::confinement::SandboxArgs;
use super::exit::Exit;
use super::families::FamiliesArgs;
use super::identity::{EncryptArgs, IdentityArgs};
use super::kernel::KernelArgs;
use super::pages::PagesArgs;
use super::store_folder::StoreArgs;
use super::stored_core::print;
use super::ui::{StderrObserver, Verbosity};
use crate::import::{self, ImportRequest};
use crate::interrupt::Interrupt;
use crate::kernel::find::SearchDepth;
use crate::printable::shown;
use crate::render;
use crate::sandbox::limits::{Limits, Reads};
use crate::store::staging::Destination;
use crate::units::parse::size;

/// Import another tool's dump into the store
///
/// Reads dumps of QEMU, libvirt, the kernel's kdump and makedumpfile. The entry is
/// compressed and laid out like a captured one. Memory that FILE lacks stays absent.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  imported
  1  failed, nothing imported
  2  usage
  3  imported, but FILE is truncated: a part of the memory is missing")]
pub(super) struct ImportArgs {
    /// The dump
    file: PathBuf,
    /// Name of the guest [default: the one in the metadata of FILE, if any]
    #[arg(long, value_name = "NAME")]
    guest: Option<String>,
    #[command(flatten)]
    find_kernel: KernelArgs,
    #[command(flatten)]
    families: FamiliesArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Write the core to FILE and its metadata to FILE.json instead of the store
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    encrypt: EncryptArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    pages: PagesArgs,
    /// zstd level, from -7 to 19
    #[arg(long, value_name = "N", default_value_t = super::capture::LEVEL,
        allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-7..=19))]
    level: i32,
    /// Threads that compress [default: one for each processor, at most 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Space that the file system must keep free
    /// [default: 5 % of it, at most 1 GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep_free: Option<u64>,
    /// Print the metadata as JSON
    #[arg(long)]
    json: bool,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

/// Imports a file, and prints where it is.
pub(super) fn run(arguments: &ImportArgs) -> anyhow::Result<Exit> {
    let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let request = ImportRequest {
        file: arguments.file.clone(),
        destination: match &arguments.output {
            Some(file) => Destination::File(file.clone()),
            None => Destination::Store(arguments.store.folder()?),
        },
        guest: arguments.guest.clone(),
        key: arguments.identity.header_of(&arguments.file)?.map(|header| header.key().clone()),
        encryption: arguments.encrypt.encryption()?,
        families: arguments.families.table()?,
        search: arguments.find_kernel.depth(),
        pages: arguments.pages.classes(),
        level: arguments.level,
        threads: arguments.threads.map_or(available.min(16), usize::from),
        keep_free: arguments.keep_free,
    };
    let interrupt = Interrupt::on_signals().context("cannot install signal handlers")?;
    let verbosity = if arguments.quiet { Verbosity::Quiet } else { Verbosity::Normal };
    let observer = StderrObserver::new(verbosity).context("cannot start a thread")?;
    let file = fs::metadata(&request.file);
    let file = file.with_context(|| format!("cannot read {}", request.file.display()))?;
    let reads = match request.search {
        SearchDepth::All => Reads::Unlimited,
        SearchDepth::Bounded => Reads::All,
    };
    arguments.sandbox.confine_import(&Limits::of(&file, reads), request.destination.path());
    let imported = import::run(&request, &interrupt, &observer);
    observer.close();
    let imported = imported?;
    print(|out| match arguments.json {
        true => render::json::pretty(&imported.metadata, out),
        false => writeln!(out, "{}", shown(&imported.entry.display().to_string())),
    })?;
    Ok(if imported.cut_off { Exit::Incomplete } else { Exit::Done })
}
