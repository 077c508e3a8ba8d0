//! The program under test, and what it leaves on disk.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use vmcorectl::metadata::Metadata;

/// A run of the program that came to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code. A signal that ended it gives `None`.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said.
    pub(crate) stderr: String,
}

impl Ran {
    /// The path of the entry that it printed.
    pub(crate) fn entry(&self) -> PathBuf {
        let line = self.stdout.trim_end();
        assert!(!line.is_empty() && !line.contains('\n'), "one path: {self:?}");
        PathBuf::from(line)
    }

    /// Checks the exit code, and gives itself.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// What it said, but for the title of what it captured.
    pub(crate) fn complaints(&self) -> String {
        self.stderr.lines().filter(|line| !line.starts_with("title: ")).collect()
    }

    /// Checks that a text was said on stderr, and gives itself.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {self:#?}");
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
    }
}

/// The program with its arguments; nothing of the caller's environment decides what it does.
pub(crate) fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmcorectl"));
    command.args(arguments).stdin(Stdio::null());
    without_callers_environment(&mut command);
    command
}

fn without_callers_environment(command: &mut Command) {
    command.env_remove("VMCORECTL_STORE").env_remove("VMCORECTL_FAMILIES");
    command.env_remove("VMCORECTL_IDENTITY");
    // What is made for a debugger is kept, and not in the user's home.
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
}

/// Runs the program to its end.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    command(arguments).output().expect("the program starts").into()
}

/// Starts the program, to do something to it. Signals that this process was started with as
/// ignored (`nohup`) end it nevertheless.
pub(crate) fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Child {
    start_through(&["env", "--default-signal=HUP,INT,QUIT"], arguments)
}

/// Starts the program by a command that replaces itself with it.
pub(crate) fn start_through<A: AsRef<OsStr>>(
    through: &[&str],
    arguments: impl IntoIterator<Item = A>,
) -> Child {
    let program = command(arguments);
    let mut command = Command::new(through[0]);
    command.args(&through[1..]).arg(program.get_program()).args(program.get_args());
    command.stdin(Stdio::null());
    without_callers_environment(&mut command);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// Waits for a started program.
pub(crate) fn finish(child: Child) -> Ran {
    child.wait_with_output().expect("the program ends").into()
}

/// What a store holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Published entries.
    pub(crate) entries: Vec<PathBuf>,
    /// Directories of captures that are under way or did not end well.
    pub(crate) incomplete: Vec<PathBuf>,
}

/// Lists a store by looking at its files alone, and checks that they are for their owner only.
pub(crate) fn listing(store: &Path) -> Listing {
    let mut listing = Listing::default();
    for guest in folders(store) {
        for entry in folders(&guest) {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for file in fs::read_dir(&entry).expect("an entry's files") {
                let file = file.expect("a file");
                let mode = file.metadata().expect("its metadata").permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", file.path().display());
            }
            if name.starts_with('.') || name.contains("incomplete") {
                listing.incomplete.push(entry);
            } else {
                listing.entries.push(entry);
            }
        }
    }
    listing.entries.sort();
    listing.incomplete.sort();
    listing
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(of) else { return Vec::new() };
    let paths = found.map(|entry| entry.expect("a directory entry").path());
    paths.filter(|path| path.is_dir()).collect()
}

/// The metadata file of an entry, checked against the published schema.
pub(crate) fn metadata_of(entry: &Path) -> Metadata {
    metadata_file(&entry.join("metadata.json"))
}

/// A metadata file, checked against the published schema.
pub(crate) fn metadata_file(path: &Path) -> Metadata {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let value: Value = serde_json::from_slice(&text).expect("JSON");
    let schema: Value =
        serde_json::from_str(include_str!("../../samples/metadata.schema.json")).expect("a schema");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    serde_json::from_value(value).expect("metadata")
}
