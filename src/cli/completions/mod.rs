//! `vmcorectl completions`: what a shell completes commands, options and names from.
//!
//! ```text
//! the script that a shell has installed ──► vmcorectl, with VMCORECTL_COMPLETE and what was typed
//!                                               clap          commands, options, files
//!                                               completers    ids of stored crashes, names of a core
//! ```
//!
//! What completes says nothing but the words that fit: a shell would print an error into the line
//! that is being typed.

mod bash;

use std::env;
use std::fs::File;

use clap::CommandFactory;
use clap_complete::env::{CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh};

use super::Arguments;
use super::exit::{Exit, UsageError};
use super::stored_core::print;
use bash::Bash;

/// Set by the scripts, to the shell that asks.
const ASKED: &str = "VMCORECTL_COMPLETE";
const PROGRAM: &str = "vmcorectl";

const SHELLS: Shells<'static> = Shells(&[&Bash, &Elvish, &Fish, &Powershell, &Zsh]);

/// Print the script by which a shell completes commands, options and names
///
/// For example `vmcorectl completions bash > /etc/bash_completion.d/vmcorectl`. The script asks
/// vmcorectl, in PATH, what fits: also ids of stored crashes, and for `print` the types,
/// symbols and members of the core.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints it.
pub(super) fn run(arguments: &CompletionsArgs) -> anyhow::Result<Exit> {
    let name = arguments.shell.to_string();
    let shells = SHELLS;
    let shell = shells.completer(&name).ok_or_else(|| UsageError {
        message: format!("there are no completions for {name}"),
        hint: None,
    })?;
    print(|out| {
        shell.write_registration(ASKED, PROGRAM, PROGRAM, PROGRAM, out)?;
        // A file that zsh loads at the first use is also to answer that one.
        if name == Zsh.name() {
            out.write_all(ZSH_FIRST_USE.as_bytes())?;
        }
        Ok(())
    })
}

const ZSH_FIRST_USE: &str = r#"
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _clap_dynamic_completer_vmcorectl "$@"
fi
"#;

/// Answers a shell, if one asks.
pub(super) fn answer_if_asked() -> Option<Exit> {
    env::var_os(ASKED)?;
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stderr(null);
    }
    let asked = CompleteEnv::with_factory(Arguments::command).var(ASKED).shells(SHELLS);
    let folder = env::current_dir().ok();
    match asked.try_complete(env::args_os(), folder.as_deref()) {
        Ok(false) => None,
        Ok(true) | Err(_) => Some(Exit::Done),
    }
}
