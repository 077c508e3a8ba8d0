//! Runs the program, with nothing of this machine's configuration.

use std::path::PathBuf;
use std::process::Command;

/// What a command has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

pub(crate) fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The program, to be run in the project's folder.
pub(crate) fn vmcorectl(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmcorectl"));
    command.args(arguments).current_dir(project()).env_clear();
    // What one test has fetched is none of another one's, whatever is there.
    if !variables.iter().any(|(name, _)| *name == "XDG_CACHE_HOME") {
        command.env("VMCORECTL_CACHE", "0");
    }
    command.env("HOME", "/nonexistent").envs(variables.iter().copied());
    command
}

pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Answer {
    let output = vmcorectl(arguments, variables).output().expect("the program");
    Answer {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The same on a store, whose name is not in the answer.
pub(crate) fn run_on(store: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Answer {
    let answer = run(&[arguments, &["--store", store]].concat(), variables);
    let stdout = String::from_utf8(answer.stdout).expect("text");
    Answer {
        code: answer.code,
        stdout: stdout.replace(store, "STORE").into_bytes(),
        stderr: answer.stderr.replace(store, "STORE"),
    }
}
