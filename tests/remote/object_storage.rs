//! Cores in object storage, judged by a real server.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::command::{project, run, run_on};
use crate::seaweedfs::{KEY, SECRET, SeaweedFs};
use crate::{CORE, NAME, equal};

#[test]
fn commands_answer_for_a_core_in_a_bucket_as_for_the_file() {
    let Some(server) = SeaweedFs::start("cores") else { return };
    server.put(&project().join(CORE), &format!("cores/web/{NAME}"));
    server.put(&project().join(format!("{CORE}.json")), &format!("cores/web/{NAME}.json"));
    let address = format!("s3://cores/web/{NAME}");
    equal::check(&address, &server.variables());
    credentials(&server, &address);
    let file = project().join("Cargo.toml");
    server.put(&file, &format!("cores/web/{NAME}"));
    let answer = run(&["info", &address], &server.variables());
    assert!(answer.stderr.contains("is no core"), "{}", answer.stderr);
}

/// Keys come from the environment, from a profile, and from a program that a profile names.
fn credentials(server: &SeaweedFs, address: &str) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".aws");
    fs::create_dir(&folder).unwrap();
    let program = home.path().join("keys");
    let json = format!(
        "#!/bin/sh\necho '{{\"Version\": 1, \"AccessKeyId\": \"{KEY}\", \"SecretAccessKey\": \"{SECRET}\"}}'\n"
    );
    fs::write(&program, json).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let keys = format!("[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n");
    fs::write(folder.join("credentials"), keys).unwrap();
    let endpoint = &server.endpoint;
    let config = format!(
        "[default]\nendpoint_url = {endpoint}\n[profile program]\nendpoint_url = {endpoint}\ncredential_process = {}\n",
        program.display()
    );
    fs::write(folder.join("config"), config).unwrap();
    let home = ("HOME", home.path().to_str().unwrap());
    let expected = run(&["info", CORE, "--json"], &[]);
    for profile in ["default", "program"] {
        let variables = [home, ("AWS_PROFILE", profile)];
        assert_eq!(run(&["info", address, "--json"], &variables), expected, "{profile}");
    }
    assert_eq!(run(&["info", address, "--json"], &[home]), expected);
    let missing = run(&["info", address], &[home, ("AWS_PROFILE", "nobody")]);
    assert!(missing.stderr.contains("no AWS profile \"nobody\""), "{}", missing.stderr);

    let wrong = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", "another-secret"),
    ];
    let refused = run(&["info", address], &wrong);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("SignatureDoesNotMatch"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("another-secret"), "{}", refused.stderr);
}

#[test]
fn a_store_in_a_bucket_is_listed_and_its_entries_are_found_as_on_disk() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let local = tempfile::tempdir().unwrap();
    let core = project().join(CORE);
    for entry in ["web/20260101T000000Z-aaaa0001", "db/20260102T000000Z-bbbb0002"] {
        let folder = local.path().join(entry);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(&core, folder.join("vmcore.elf.zst")).unwrap();
        fs::copy(core.with_extension("zst.json"), folder.join("metadata.json")).unwrap();
    }
    let store = local.path().to_str().unwrap();
    let saved = run(&["report", "--save", "latest:web", "--store", store], &[]);
    assert_eq!(saved.code, Some(0), "{}", saved.stderr);
    fs::write(local.path().join("db/20260102T000000Z-bbbb0002/pinned"), "").unwrap();
    for entry in ["web/20260101T000000Z-aaaa0001", "db/20260102T000000Z-bbbb0002"] {
        for file in fs::read_dir(local.path().join(entry)).unwrap() {
            let file = file.unwrap();
            let name = file.file_name();
            server.put(&file.path(), &format!("fleet/cores/{entry}/{}", name.to_str().unwrap()));
        }
    }
    let remote = "s3://fleet/cores";
    for command in [
        &["list"][..],
        &["list", "--json"],
        &["group"],
        &["group", "--json"],
        &["info", "latest"],
        &["info", "latest:web", "--json"],
        &["dmesg", "aaaa"],
        &["dmesg", "2026"],
        &["dmesg", "latest:nobody"],
        &["verify", "20260101T000000Z-aaaa0001"],
    ] {
        let there = run_on(remote, command, &server.variables());
        assert_eq!(there, run_on(store, command, &[]), "{command:?}");
    }
    let refused = run(&["rm", "20260101T000000Z-aaaa0001", "--store", remote], &server.variables());
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}
