//! A command, and all that it answered, in one text.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::NAMES;
use crate::difference::difference;
use crate::tool::{Ran, command};

/// Runs a command, and compares its transcript with the expected one.
#[track_caller]
pub(crate) fn check(name: &str, arguments: &[&str]) {
    let mut command = command(arguments);
    // What the machine and its user prefer must not show.
    command.current_dir(project()).env("TZ", "UTC").env("LC_ALL", "C.UTF-8").env_remove("COLUMNS");
    let found = text(arguments, &command.output().expect("the program starts").into());
    let path = folder().join(name).with_extension("txt");
    if env::var_os("VMCORECTL_RENEW").is_some() {
        fs::write(&path, &found).expect("an expected answer can be written");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; VMCORECTL_RENEW=1 writes it\n{found}", path.display())
    });
    assert!(
        found == expected,
        "{} expects another answer (VMCORECTL_RENEW=1 renews it):\n{}",
        path.display(),
        difference(&expected, &found)
    );
}

/// What was typed, what it printed, what it said, and how it ended.
fn text(arguments: &[&str], ran: &Ran) -> String {
    let mut text = format!("$ vmcorectl {}\n{}", arguments.join(" "), ran.stdout);
    if !ran.stdout.is_empty() && !ran.stdout.ends_with('\n') {
        text += "\n(no newline at the end)\n";
    }
    if !ran.stderr.is_empty() {
        text = text + "--- stderr\n" + &ran.stderr;
    }
    let code = ran.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
    text + "--- exit " + &code + "\n"
}

pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    project().join("tests/samples/expected")
}

#[test]
fn every_expected_answer_belongs_to_a_command() {
    for file in fs::read_dir(folder()).expect("the expected answers") {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(NAMES.contains(&name.as_str()), "{} is of no command", path.display());
    }
}
