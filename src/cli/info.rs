//! `vmcorectl info`: the metadata of a stored core.

use std::io::{self, Write};

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::stored_core::{CoreArgs, print};
use super::ui::say_findings;
use crate::kernel::Kernel;
use crate::kernel::cpus::Cpus;
use crate::kernel::identity::Identity;
use crate::kernel::memory_usage::MemoryUsage;
use crate::kernel::mounts::Mounts;
use crate::metadata::Metadata;
use crate::printable::shown;
use crate::render;
use crate::render::kernel::KernelParts;
use crate::store::annotations::Annotations;
use crate::vmcore::summary::Summary;

/// Show the metadata of a stored core: guest, panic, release, sizes
///
/// For a core without metadata, what its headers and notes say.
#[derive(Debug, clap::Args)]
pub(super) struct InfoArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Add what is read from the kernel's memory: uname, command line, uptime, load, taint, memory,
    /// what each CPU was doing, and mounted file systems; with --json, print only that
    #[arg(long)]
    kernel: bool,
    /// Print the metadata as JSON, or what the file says if it has none
    #[arg(long)]
    json: bool,
}

/// Prints the metadata of a core, or what its file says, and on request what its memory says.
pub(super) fn run(arguments: &InfoArgs) -> anyhow::Result<Exit> {
    let entry = arguments.core.find()?;
    let pinned = !arguments.json && entry.is_pinned();
    let annotations = entry.annotations();
    let identity = arguments.core.identity();
    let known = match entry.in_the_clear().filter(|_| !arguments.kernel) {
        // What everybody may see; its keys open the rest.
        Some(clear) if identity.is_empty() => Some(clear),
        Some(_) if entry.has_core() => None,
        Some(_) => Some(entry.sealed_metadata(identity)?),
        None => entry.without_core().filter(|_| !arguments.kernel),
    };
    if let Some(metadata) = known {
        return print(|out| match arguments.json {
            true => render::json::pretty(
                &Annotated { metadata: &metadata, annotations: &annotations },
                out,
            ),
            false => render::info::text(&metadata, None, out)
                .and_then(|()| say_noted(&annotations, out))
                .and_then(|()| say_pinned(pinned, out)),
        });
    }
    let core =
        entry.open(arguments.core.sandbox(), identity, arguments.find_kernel.reads(), None)?;
    let kernel = if arguments.kernel { Some(arguments.find_kernel.find(&core)?) } else { None };
    let parts = kernel.as_ref().map(|kernel| {
        let (identity, memory) = (Identity::of(kernel), MemoryUsage::of(kernel));
        (identity, memory, Mounts::of(kernel), Cpus::of(kernel, &core), kernel.tasks())
    });
    let parts = parts.as_ref().map(|(identity, memory, mounts, cpus, tasks)| KernelParts {
        identity,
        memory: memory.as_ref(),
        mounts,
        cpus,
        tasks,
    });
    if let Some(parts) = parts.as_ref().filter(|_| arguments.json) {
        return print(|out| render::json::pretty(&render::kernel::KernelJson::new(parts), out));
    }
    let summary = Summary::of(&core);
    let metadata = core.metadata();
    if let Some(parts) = &parts {
        let ambiguities = kernel.as_ref().map(Kernel::ambiguities).unwrap_or_default();
        say_findings(parts.findings().chain(&ambiguities));
    }
    print(|out| {
        match (&metadata, arguments.json) {
            (Some(metadata), true) => {
                render::json::pretty(&Annotated { metadata, annotations: &annotations }, out)
            }
            (None, true) => render::json::pretty(&summary, out),
            (Some(metadata), false) => render::info::text(metadata, Some(&summary), out),
            (None, false) => render::info::bare(core.path(), &summary, out),
        }?;
        if !arguments.json {
            say_noted(&annotations, out)?;
            say_pinned(pinned, out)?;
        }
        parts.as_ref().map_or(Ok(()), |parts| render::kernel::text(parts, out))
    })
}

/// Metadata, and what was noted since.
#[derive(serde::Serialize)]
struct Annotated<'a> {
    #[serde(flatten)]
    metadata: &'a Metadata,
    #[serde(skip_serializing_if = "is_empty")]
    annotations: &'a Annotations,
}

fn is_empty(annotations: &Annotations) -> bool {
    annotations.values().is_empty()
}

fn say_noted(annotations: &Annotations, out: &mut dyn Write) -> io::Result<()> {
    let mut values = annotations.values().into_iter();
    values.try_for_each(|(key, value)| writeln!(out, "  noted     {key}={}", shown(value)))
}

/// The pin is beside the core, and not in the metadata.
fn say_pinned(pinned: bool, out: &mut dyn Write) -> io::Result<()> {
    if pinned { writeln!(out, "  pinned    it is kept until `unpin`") } else { Ok(()) }
}
