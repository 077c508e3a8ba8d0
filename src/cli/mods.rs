//! `vmcorectl mods`: the modules that the guest's kernel had loaded.

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::stored_core::{CoreArgs, print};
use super::ui::say_findings;
use crate::render;

/// Show the modules that the guest's kernel had loaded: address, size, taints, users
///
/// They are read from the kernel's memory with its own types (BTF): no debug symbols are
/// needed. What is missing or damaged is reported on stderr.
#[derive(Debug, clap::Args)]
pub(super) struct ModsArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Print the modules as JSON, with build ids and the parts of each
    #[arg(long)]
    json: bool,
}

/// Prints modules.
pub(super) fn run(arguments: &ModsArgs) -> anyhow::Result<Exit> {
    let core = arguments.core.open(arguments.find_kernel.reads())?;
    let kernel = arguments.find_kernel.find(&core)?;
    let modules = kernel.modules();
    let own = kernel.types_findings().iter().chain(&modules.findings);
    say_findings(
        core.findings().iter().chain(&kernel.origin()).chain(own).chain(&kernel.ambiguities()),
    );
    print(|out| {
        if arguments.json {
            render::json::pretty(&render::modules::ModulesJson::new(modules), out)
        } else {
            render::modules::text(modules, out)
        }
    })?;
    let nothing = modules.modules.is_empty() && !modules.findings.is_empty();
    Ok(if nothing { Exit::Failed } else { Exit::Done })
}
