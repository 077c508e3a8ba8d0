//! A system that refuses chosen calls: the program under strace, which makes them fail.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::lacking::lacking;
use crate::setting::Setting;
use crate::tool::{self, Ran};

/// Whether there is none, so that the caller's test has to be left out.
pub(crate) fn no_strace() -> bool {
    let missing = Command::new("strace").arg("--version").output().is_err();
    if missing {
        lacking("strace");
    }
    missing
}

/// Captures the guest while calls fail by strace's injections, for example
/// `fsync:error=EIO:when=2`.
#[track_caller]
pub(crate) fn capture(setting: &Setting, more: &[&str], injections: &[&str]) -> Ran {
    run(&setting.arguments(more), injections)
}

/// Runs the program while calls fail.
#[track_caller]
pub(crate) fn run(arguments: &[OsString], injections: &[&str]) -> Ran {
    let program = tool::command(arguments);
    let calls: Vec<_> = injections.iter().map(|text| text.split(':').next().unwrap()).collect();
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e"]);
    strace.arg(format!("trace={}", calls.join(",")));
    for injection in injections {
        strace.args(["-e", &format!("inject={injection}")]);
    }
    strace.arg(program.get_program());
    strace.args(program.get_args().map(OsString::from));
    strace.env_remove("VMCORECTL_STORE").stdin(Stdio::null());
    let output = strace.output().expect("strace starts");
    output.into()
}
