//! `vmcorectl info`: what a stored core says about itself.

use super::exit::Exit;
use super::stored_core::{CoreArgs, print};
use crate::render;
use crate::vmcore::summary::Summary;

/// Show the story of a stored core: guest, panic, release, sizes
///
/// Of a core that no capture wrote, what the file itself says.
#[derive(Debug, clap::Args)]
pub(super) struct InfoArgs {
    #[command(flatten)]
    core: CoreArgs,
    /// Print the metadata as JSON, or what the file says where there is none
    #[arg(long)]
    json: bool,
}

/// Prints the metadata of a core, or what its file says.
pub(super) fn run(arguments: &InfoArgs) -> anyhow::Result<Exit> {
    let core = arguments.core.open()?;
    let summary = Summary::of(&core);
    let metadata = core.metadata();
    print(|out| match (&metadata, arguments.json) {
        (Some(metadata), true) => render::json::pretty(metadata, out),
        (None, true) => render::json::pretty(&summary, out),
        (Some(metadata), false) => render::info::text(metadata, &summary, out),
        (None, false) => render::info::bare(&core.path, &summary, out),
    })
}
