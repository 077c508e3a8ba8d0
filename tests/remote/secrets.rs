//! Secrets are in no argument list of another process, and in no message.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::channel;

use crate::command::{run, vmcorectl};
use crate::fake_bucket::FakeBucket;
use crate::http_server::{HttpServer, Object, Reply};
use crate::{NAME, sample};

const SECRET: &str = "TOPSECRET";

#[test]
fn a_signature_in_an_address_is_not_repeated() {
    let server = HttpServer::start(|_| Reply::Status(400, "TOPSECRET"));
    let url = format!("{}?X-Amz-Signature={SECRET}", server.url(NAME));
    let answer = run(&["info", &url], &[]);
    assert_eq!(answer.code, Some(1));
    assert!(!answer.stderr.contains("X-Amz"), "{}", answer.stderr);
    assert!(server.requests.lock().unwrap().iter().all(|request| request.path.contains(SECRET)));
    let url = format!("http://127.0.0.1:1/core.zst?X-Amz-Signature={SECRET}");
    let answer = run(&["info", &url], &[]);
    assert!(!answer.stderr.contains(SECRET), "{}", answer.stderr);
}

/// The command that was typed has the address in its arguments. The process that it starts has not.
#[test]
fn the_fetcher_has_no_address_in_its_arguments() {
    let object = Object::new(sample());
    let (asked, is_asked) = channel();
    let (go_on, may_go_on) = channel();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let server = HttpServer::start(move |request| {
        if request.number == 0 {
            asked.send(()).unwrap();
            may_go_on.lock().unwrap().recv().unwrap();
        }
        Reply::Object(object.clone())
    });
    let url = format!("{}?X-Amz-Signature={SECRET}", server.url(NAME));
    let mut command = vmcorectl(&["info", &url], &[]);
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    is_asked.recv().unwrap();
    let id = child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let fetcher = children.split_whitespace().next().expect("a fetcher");
    let arguments = fs::read(format!("/proc/{fetcher}/cmdline")).unwrap();
    assert_eq!(arguments, b"vmcorectl\0fetcher\0");
    go_on.send(()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}

/// Whatever an address was taken for: an entry, a name, a store, an option of another kind.
#[test]
fn no_command_repeats_the_secrets_of_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let commands: [&[&str]; 25] = [
        &["list", "--store", "URL"],
        &["group", "--store", "URL"],
        &["info", "URL"],
        &["info", "latest", "--store", "URL"],
        &["report", "URL"],
        &["report", "--save", "URL"],
        &["dmesg", "URL"],
        &["verify", "URL"],
        &["explain", "URL"],
        &["export", "URL", "--format", "elf", "-o", "URL"],
        &["symbols", "URL", "-o", "URL"],
        &["diff", "URL", "URL"],
        &["mount", "URL", "URL"],
        &["debug", "URL"],
        &["import", "URL", "--store", here],
        &["push", "URL", "--to", "URL", "--store", here],
        &["push", "--all", "--to", "URL", "--store", "URL"],
        &["pull", "URL", "--from", "URL", "--store", here],
        &["rm", "URL", "--yes"],
        &["prune", "--older-than", "URL", "--store", "URL"],
        &["pin", "URL", "--store", "URL"],
        &["annotate", "URL", "URL"],
        &["index", "--compact", "--store", "URL"],
        &["triage", "--shard", "URL", "--from", "URL", "--out", "URL"],
        &["capture", "URL", "--store", "URL"],
    ];
    for url in [
        "https://127.0.0.1:1/a/core.zst?sv=1&sig=TOPSECRET",
        "http://reader:TOPSECRET@127.0.0.1:1/web/20260101T000000Z-aaaa0001",
        "s3://reader:TOPSECRET@fleet/cores?sig=TOPSECRET",
    ] {
        for command in commands {
            let words: Vec<_> =
                command.iter().map(|word| if *word == "URL" { url } else { word }).collect();
            let nowhere = [
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", SECRET),
            ];
            let answer = run(&words, &nowhere);
            let said = String::from_utf8_lossy(&answer.stdout).into_owned() + &answer.stderr;
            assert!(!said.contains(SECRET), "{words:?}: {said}");
        }
    }
    for file in walk(folder.path()) {
        let bytes = fs::read(&file).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{}", file.display());
    }
}

/// All files below a directory.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// `triage` has a process for each report.
#[test]
fn a_process_for_a_report_has_no_secret_in_its_arguments() {
    const OWN: &str = "SECRET-OF-TRIAGE";
    let bucket = FakeBucket::start();
    let store = crate::push::store(None);
    fs::remove_file(store.path().join(crate::push::ENTRY).join("triage.zst")).unwrap();
    let pushed = crate::push::push(store.path(), &["latest"], &bucket.variables());
    assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
    let out = tempfile::tempdir().unwrap();
    let from = format!("s3://reader:{OWN}@fleet/cores");
    let words = ["triage", "--from", &from, "--out", out.path().to_str().unwrap()];
    let mut command = vmcorectl(&words, &bucket.variables());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let id = child.id().to_string();
    let (mut others, mut leaks) = (BTreeSet::new(), Vec::new());
    while child.try_wait().unwrap().is_none() {
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let name = process.file_name();
            let Some(name) = name.to_str().filter(|name| *name != id) else { continue };
            let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            if arguments.contains("report\0--json") && arguments.contains("fleet") {
                others.insert(name.to_owned());
            }
            // A process that was just forked has the arguments that were typed.
            if arguments.contains(OWN) && !arguments.contains("\0triage\0") {
                leaks.push(arguments);
            }
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(!others.is_empty() && leaks.is_empty(), "{leaks:?}");
    for file in walk(out.path()) {
        let text = fs::read_to_string(&file).unwrap_or_default();
        assert!(!text.contains(OWN) && !text.contains("cannot"), "{text}");
    }
}
