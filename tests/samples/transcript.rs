//! A command, and all that it answered, in one text.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::{CORE, NAMES, STORE};
use serde_json::Value;
use tempfile::TempDir;

use crate::difference::difference;
use crate::tool::{Ran, command};

/// Runs a command, and compares its transcript with the expected one.
#[track_caller]
pub(crate) fn check(name: &str, arguments: &[&str]) {
    let store = arguments.contains(&STORE).then(store);
    let place = store.as_ref().map_or("", |store| store.path().to_str().expect("UTF-8"));
    let mut command =
        command(arguments.iter().map(|&word| if word == STORE { place } else { word }));
    // What the machine and its user prefer must not show.
    command.current_dir(project()).env("TZ", "UTC").env("LC_ALL", "C.UTF-8").env_remove("COLUMNS");
    let mut found = text(arguments, &command.output().expect("the program starts").into());
    if !place.is_empty() {
        found = found.replace(place, STORE);
    }
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
    let mut text = "$ vmcorectl".to_owned();
    for word in arguments {
        text += &if word.contains(' ') { format!(" '{word}'") } else { format!(" {word}") };
    }
    text = text + "\n" + &ran.stdout;
    if !ran.stdout.is_empty() && !ran.stdout.ends_with('\n') {
        text += "\n(no newline at the end)\n";
    }
    if !ran.stderr.is_empty() {
        text = text + "--- stderr\n" + &ran.stderr;
    }
    let code = ran.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
    text + "--- exit " + &code + "\n"
}

/// A store as `capture --store` makes it, with the sample in it.
fn store() -> TempDir {
    let store = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let core = project().join(CORE);
    let metadata = core.with_extension("zst.json");
    let text = fs::read_to_string(&metadata).expect("the sample's metadata");
    let story: Value = serde_json::from_str(&text).expect("JSON");
    let id = story["id"].as_str().expect("an id");
    let entry = store.path().join("sample").join(id);
    fs::create_dir_all(&entry).expect("an entry");
    fs::copy(&core, entry.join("vmcore.elf.zst")).expect("the core");
    fs::copy(&metadata, entry.join("metadata.json")).expect("the metadata");
    store
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
