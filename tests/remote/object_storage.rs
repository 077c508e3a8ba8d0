//! Cores in object storage, judged by a real server.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::command::{project, run};
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
