//! Text of a guest, of QEMU and of files: nothing of it reaches a terminal as more than text, and
//! none of it is longer than what is shown of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::core_stream::CoreStream;
use crate::scripted_qemu::{DumpPlan, Script};
use crate::setting::Setting;
use crate::tool::{self, Ran, run};

/// An escape sequence, one of C1, DEL, both of Unicode's line ends, each kind of mark of
/// direction, a carriage return and a new line.
const HOSTILE: &str =
    "x\u{1b}[2J\u{9b}31m\u{7f}\u{2028}\u{2029}\u{61c}\u{200e}\u{202e}\u{2066}\r\nerror: y";

/// Checks that a terminal obeys nothing of what was printed, and that no text began a line of its
/// own.
#[track_caller]
fn is_harmless(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        let obeyed = |c: char| {
            c != '\n'
                && (c.is_control() || "\u{61c}\u{200e}\u{202e}\u{2028}\u{2029}\u{2066}".contains(c))
        };
        assert!(!text.contains(obeyed), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("error: y")), "{text:?}");
    }
}

fn with_store(store: &Path, arguments: &[&str]) -> Ran {
    let store = store.to_str().unwrap();
    run(arguments.iter().copied().chain(["--store", store]))
}

/// The program with a text on its standard input.
fn with_input(arguments: &[&str], input: &str) -> Ran {
    let mut command = tool::command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It prints while it reads.
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        tool::finish(child)
    })
}

#[test]
fn error_texts_of_qemu_are_text_on_one_line() {
    for (command, code) in
        [("getfd", 1), ("dump-guest-memory", 1), ("query-status", 1), ("cont", 5)]
    {
        let refuse = BTreeMap::from([(command, ("GenericError", HOSTILE))]);
        let setting = Setting::new(Script { refuse, ..Script::default() });
        let ran = setting.capture(&["--resume", "--verbose"]).expect(code);
        is_harmless(&ran.says("[2J"));
    }
    let setting =
        Setting::new(Script { dump: DumpPlan::Fails(4096, HOSTILE), ..Script::default() });
    is_harmless(&setting.capture(&["--reset", "--json"]).says("[2J"));
    let long: &str = Box::leak("e".repeat(100_000).into_boxed_str());
    let setting = Setting::new(Script { dump: DumpPlan::Fails(4096, long), ..Script::default() });
    let failed = setting.capture(&["--json"]);
    assert!(failed.stdout.contains("eee…") && failed.stdout.len() < 20_000, "{failed:?}");
    let information = json!({ "type": "tdx", "message": HOSTILE });
    let script = Script { crash_information: Some(information), ..Script::default() };
    let setting = Setting::new(Script { name: Some(HOSTILE.to_owned()), ..script });
    let ran = setting.capture(&["--resume", "--json"]).expect(0);
    is_harmless(&ran);
    let metadata: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(metadata["guest"]["name"], HOSTILE, "JSON has the same value");
    for arguments in [&["list"][..], &["list", "--json"], &["group"], &["info", "latest"]] {
        is_harmless(&with_store(&setting.store, arguments).expect(0));
    }
    let report = with_store(&setting.store, &["report", "latest", "--json"]);
    is_harmless(&report);
    assert!(report.stdout.contains("\\u202e"), "{}", report.stdout);
    is_harmless(&with_store(&setting.store, &["report", "latest"]).says(""));
}

#[test]
fn names_of_files_and_ids_are_text_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    for last in ["a", "b"] {
        let entry = store.join("web").join(format!("20260101T000000Z-{HOSTILE}{last}"));
        fs::create_dir_all(&entry).unwrap();
        fs::write(entry.join("vmcore.elf.zst"), "none").unwrap();
    }
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["group"],
        &["info", "20260101"],
        &["rm", "--yes", "20260101"],
        &["report", "latest"],
    ] {
        is_harmless(&with_store(&store, arguments));
    }
    let file = folder.path().join(HOSTILE);
    fs::write(&file, "none").unwrap();
    for command in ["info", "report", "verify", "dmesg", "import"] {
        is_harmless(&with_store(&store, &[command, file.to_str().unwrap()]).says("[2J"));
    }
    // Usage errors repeat arguments.
    is_harmless(&run(["info", "x", &format!("--{HOSTILE}")]).expect(2).says("31m"));
    is_harmless(&run(["info", "x", HOSTILE]).expect(2).says("31m"));
}

#[test]
fn a_log_is_text() {
    let log = format!(
        "BUG: kernel NULL pointer dereference, address: {HOSTILE}\nOops: {HOSTILE} [#1] SMP\n\
         CPU: 0 PID: 1 Comm: a{HOSTILE} Not tainted 6.1{HOSTILE} #1\nRIP: 0010:f{HOSTILE}+0x1/0x2\n\
         Hardware name: {HOSTILE}\nCall Trace:\n f+0x1/0x2 [{HOSTILE}]\n g.{HOSTILE}+0x1/0x2\n\
         Kernel panic - not syncing: {HOSTILE}\n"
    );
    is_harmless(&with_input(&["explain", "--log", "-"], &log).expect(0));
    is_harmless(&with_input(&["explain", "--log", "-", "--json"], &log).expect(0));
    let line = json!({ "id": HOSTILE, "log": log }).to_string();
    let ran = with_input(&["explain", "--jsonl", "-"], &line).expect(0);
    is_harmless(&ran);
    let explained: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(explained["id"], HOSTILE);
}

/// `list` and `group` show the whole store, whatever one guest is called.
#[test]
fn an_entry_with_texts_of_any_length_takes_no_command_away() {
    let setting = Setting::new(Script::default());
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    let path = entry.join("metadata.json");
    let mut metadata: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let long = "r".repeat(1_000_076);
    metadata["guest"]["name"] = json!(long);
    metadata["core"]["kernel_release"] = json!(long);
    metadata["warnings"] = json!([long]);
    fs::write(&path, metadata.to_string()).unwrap();
    let report = json!({
        "schema": "vmcorectl/report/1", "title": long, "signature": long, "alt_titles": [long],
    });
    fs::write(entry.join("report.json"), report.to_string()).unwrap();
    for command in ["list", "group"] {
        let table = with_store(&setting.store, &[command]).expect(0).stdout;
        let widest = table.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|width| width < 1000), "{widest:?}");
        assert!(table.contains('…'), "{table}");
        let lines = with_store(&setting.store, &[command, "--json"]).expect(0).stdout;
        assert!(lines.len() < 40_000, "{}", lines.len());
    }
    with_store(&setting.store, &["info", "latest"]).expect(0);
}

#[test]
fn a_release_of_70000_letters_is_one_that_is_cut() {
    for release in ["r".repeat(70_000), "\u{1b}[2J".repeat(20_000), "ä".repeat(40_000)] {
        let stream = Arc::new(CoreStream::of_release(6, &release));
        let setting = Setting::new(Script { stream: Arc::clone(&stream), ..Script::default() });
        let file = setting.store.with_file_name("release.elf");
        fs::write(&file, &stream.bytes).unwrap();
        setting.capture(&["--resume"]).expect(0);
        with_store(&setting.store, &["import", file.to_str().unwrap()]).expect(0);
        for arguments in [
            &["list"][..],
            &["group"],
            &["list", "--json"],
            &["group", "--json"],
            &["info", "latest"],
        ] {
            let ran = with_store(&setting.store, arguments).expect(0);
            is_harmless(&ran);
            assert!(ran.stdout.contains('…') && ran.stdout.len() < 10_000, "{ran:?}");
        }
        let report = with_store(&setting.store, &["report", "latest"]);
        assert!(report.stdout.len() < 10_000, "{report:?}");
    }
}

/// A mangled name of Rust's, in which each tuple has eight times the one before.
fn mangled(levels: usize, last: char) -> String {
    const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut symbol = format!("_RINvC1{last}1gThhhhhhhhE");
    let mut start = 8;
    for _ in 0..levels {
        let value = start - 1;
        let digits = [DIGITS[value / 62], DIGITS[value % 62]];
        let digits = std::str::from_utf8(&digits).unwrap().trim_start_matches('0');
        start = symbol.len() - 2;
        symbol += &format!("T{}E", format!("B{digits}_").repeat(8));
    }
    symbol + "E"
}

/// Written out, 3,000 such names are hundreds of megabytes.
#[test]
fn a_log_of_mangled_names_is_explained_in_few_bytes() {
    let mut log = "BUG: kernel NULL pointer dereference, address: 0000000000000000\n\
        CPU: 0 PID: 1 Comm: a Not tainted 6.1.0 #1\nCall Trace:\n <TASK>\n"
        .to_owned();
    for last in ('a'..='z').cycle().take(3000) {
        log += &format!(" {}+0x1/0x2\n", mangled(6, last));
    }
    log += " </TASK>\n";
    assert!(log.len() > 600_000);
    for arguments in [&["--json"][..], &[]] {
        let ran = with_input(&[&["explain", "--log", "-"], arguments].concat(), &log).expect(0);
        assert!(ran.stdout.len() < 1 << 20, "{}", ran.stdout.len());
        assert!(ran.stdout.contains("a::g::<(") && ran.stdout.contains('…'), "{ran:?}");
    }
    let line = json!({ "id": 1, "log": log }).to_string();
    let input = format!("{line}\n").repeat(3);
    let ran = with_input(&["explain", "--jsonl", "-"], &input).expect(0);
    assert!(ran.stdout.lines().count() == 3 && ran.stdout.len() < 3 << 20);
}
