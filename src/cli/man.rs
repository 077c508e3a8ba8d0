//! `vmcorectl man`: the manual pages, which say what `--help` says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Arguments;
use super::exit::{Exit, UsageError};
use super::stored_core::print;

/// Print a manual page
///
/// For example `vmcorectl man capture | man -l -`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The command whose page is printed [default: the page of vmcorectl itself]
    command: Option<String>,
    /// Write all pages to this directory instead, which has to exist
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    output: Option<PathBuf>,
}

/// Prints the page, or writes all.
pub(super) fn run(arguments: &ManArgs) -> anyhow::Result<Exit> {
    // `help` has no page of its own.
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    if let Some(folder) = &arguments.output {
        write_all(&program, folder)?;
        return Ok(Exit::Done);
    }
    let command = match &arguments.command {
        None => program,
        Some(name) => {
            commands(&program).find(|one| one.get_name() == name).cloned().ok_or_else(|| {
                UsageError {
                    message: format!("there is no command {name:?}"),
                    hint: Some("vmcorectl --help lists the commands".to_owned()),
                }
            })?
        }
    };
    print(|out| page(command).render(out))
}

fn write_all(program: &Command, folder: &Path) -> anyhow::Result<()> {
    for command in commands(program).chain([program]) {
        let page = page(command.clone());
        let path = folder.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn commands(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| !command.is_hide_set())
}

fn page(command: Command) -> Man {
    Man::new(command).manual("vmcorectl").source(concat!("vmcorectl ", env!("CARGO_PKG_VERSION")))
}
