//! `vmcorectl completions`: what a shell completes commands and options from.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;
use super::exit::Exit;
use super::stored_core::print;

/// Print a shell's completions
///
/// For example `vmcorectl completions bash > /etc/bash_completion.d/vmcorectl`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints them.
pub(super) fn run(arguments: &CompletionsArgs) -> anyhow::Result<Exit> {
    // clap's generators do not return errors of writing.
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "vmcorectl", &mut text);
    print(|out| out.write_all(&text))
}
