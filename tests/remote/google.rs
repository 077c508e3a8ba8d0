//! `gs://`: Google's storage by its XML protocol, of which the scripted server has what a push needs,
//! and credentials as Google's programs find them.

use std::fs;
use std::process::Command;

use crate::command::{Answer, run, run_on};
use crate::fake_bucket::FakeBucket;
use crate::pull::files;
use crate::push::{ENTRY, store, text};

const URL: &str = "gs://fleet/cores";

fn ok(words: &[&str], variables: &[(&str, &str)]) -> Answer {
    let answer = run(words, variables);
    assert_eq!(answer.code, Some(0), "{words:?}: {}", answer.stderr);
    assert_eq!(answer.stderr, "", "{words:?}");
    answer
}

#[test]
fn an_entry_is_pushed_read_pulled_pruned_and_removed() {
    let bucket = FakeBucket::start();
    let host = bucket.server.address.strip_prefix("http://").unwrap();
    // As Google's programs take it: with and without a scheme, and no credentials.
    for emulator in [host, &bucket.server.address] {
        let variables = [("STORAGE_EMULATOR_HOST", emulator)];
        let own = store(None);
        let here = own.path().to_str().unwrap();
        fs::remove_file(own.path().join(ENTRY).join("triage.zst")).unwrap();
        // It compares no SHA-256.
        let pushed = run(&["push", "--all", "--to", URL, "--store", here], &variables);
        assert!(pushed.stderr.contains("was read back, and is what was sent"), "{pushed:?}");
        assert!(text(&pushed).contains("pushed, with its core of"), "{}", text(&pushed));
        let list = ok(&["list", "--json", "--store", URL], &variables);
        assert!(text(&list).contains("\"complete\""), "{}", text(&list));
        for command in [&["dmesg", "latest"][..], &["report", "latest"], &["verify", "latest"]] {
            let there = run_on(URL, command, &variables);
            assert_eq!(there, run_on(here, command, &[]), "{command:?}");
        }
        let to = tempfile::tempdir().unwrap();
        let back = to.path().to_str().unwrap();
        ok(&["pull", "latest", "--from", URL, "--store", back], &variables);
        assert!(files(to.path()) == files(own.path()), "the files differ");
        let orphan = format!("fleet/cores/{ENTRY}/core-00000000000000aa.elf.zst");
        bucket.put(&orphan, b"of a push that lost its queue");
        ok(&["prune", "--yes", "--unfinished-after", "1d", "--store", URL], &variables);
        assert_eq!(bucket.object(&orphan), None);
        let id = ENTRY.rsplit('/').next().unwrap();
        ok(&["rm", id, "--yes", "--store", URL], &variables);
        assert!(!bucket.keys().iter().any(|key| key.contains("/web/")), "{:?}", bucket.keys());
    }
    let requests = bucket.server.requests.lock().unwrap();
    let no_token = |by: &str| by.trim() == "Bearer";
    assert!(requests.iter().all(|request| request.authorization.as_deref().is_none_or(no_token)));
}

#[test]
fn credentials_are_those_of_a_file_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl").args(["genrsa", "2048"]).output().expect("openssl");
    let account = serde_json::json!({
        "type": "service_account",
        "private_key_id": "1",
        "private_key": String::from_utf8(made.stdout).unwrap(),
        "client_email": "reader@fleet.example",
    });
    let file = folder.path().join("account.json");
    fs::write(&file, account.to_string()).unwrap();
    let home = folder.path().join("home");
    let of_home = home.join(".config/gcloud");
    fs::create_dir_all(&of_home).unwrap();
    fs::copy(&file, of_home.join("application_default_credentials.json")).unwrap();
    let path = file.to_str().unwrap();
    for (variable, value, is_signed) in [
        ("GOOGLE_APPLICATION_CREDENTIALS", path, true),
        ("GOOGLE_SERVICE_ACCOUNT", path, true),
        ("HOME", home.to_str().unwrap(), true),
        ("GOOGLE_SKIP_SIGNATURE", "true", false),
    ] {
        let bucket = FakeBucket::start();
        let endpoint = ("GOOGLE_BASE_URL", bucket.server.address.as_str());
        ok(&["list", "--json", "--store", URL], &[endpoint, (variable, value)]);
        let requests = bucket.server.requests.lock().unwrap();
        let is_token = |by: &String| by.starts_with("Bearer eyJ");
        let signed: Vec<_> =
            requests.iter().map(|one| one.authorization.as_ref().is_some_and(is_token)).collect();
        assert!(
            !signed.is_empty() && signed.iter().all(|signed| *signed == is_signed),
            "{variable}"
        );
    }
}

#[test]
fn a_file_that_has_no_credentials_is_named_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    let path = file.to_str().unwrap();
    let bucket = FakeBucket::start();
    let endpoint = ("GOOGLE_BASE_URL", bucket.server.address.as_str());
    for account in [
        "{\"type\": \"external_account\", \"token_url\": \"TOPSECRET\"}",
        "{\"type\": \"service_account\", \"private_key\": \"TOPSECRET\", \"private_key_id\": \"1\", \"client_email\": \"x\"}",
        "{\"type\": \"service_account\", \"private_key\": [\"TOPSECRET\"]}",
        "TOPSECRET",
    ] {
        fs::write(&file, account).unwrap();
        let variables = [endpoint, ("GOOGLE_APPLICATION_CREDENTIALS", path)];
        let answer = run(&["list", "--store", URL], &variables);
        assert_eq!(answer.code, Some(1), "{account}");
        assert!(!answer.stderr.contains("TOPSECRET"), "{}", answer.stderr);
    }
    fs::remove_file(&file).unwrap();
    let variables = [endpoint, ("GOOGLE_APPLICATION_CREDENTIALS", path)];
    let answer = run(&["list", "--store", URL], &variables);
    assert!(answer.stderr.contains(path), "{}", answer.stderr);
    assert_eq!(bucket.server.request_count(), 0);
}
