//! `vmcorectl verify`: checks a stored core for damage.

use std::num::NonZeroUsize;

use super::exit::Exit;
use super::kernel::ReadAllArgs;
use super::stored_core::{CoreArgs, print};
use crate::render;
use crate::vmcore::verify::verify;

/// Check a stored core from end to end
///
/// Unpacks every chunk and compares its checksum, checks the headers of the ELF core, and
/// compares the metadata with the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  everything is as it should be
  1  damaged, or it could not be opened
  2  usage
  3  nothing is damaged, but a part is missing")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    read_all: ReadAllArgs,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Checks a core, and says what is wrong with it.
pub(super) fn run(arguments: &VerifyArgs) -> anyhow::Result<Exit> {
    let core = arguments.core.open(arguments.read_all.reads())?;
    arguments.read_all.apply(&core);
    let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let found = verify(&core, arguments.threads.map_or(available, usize::from));
    print(|out| {
        if arguments.json {
            render::json::pretty(&found, out)
        } else {
            render::verify::text(core.path(), &found, out)
        }
    })?;
    Ok(match (found.damage.is_empty(), found.missing.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Incomplete,
        (true, true) => Exit::Done,
    })
}
