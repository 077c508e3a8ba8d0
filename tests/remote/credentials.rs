//! Credentials that an instance, a container or a file of a token has: by servers of their own, at
//! the addresses that the variables of AWS's programs name.

use std::fs;

use crate::command::run;
use crate::fake_bucket::FakeBucket;
use crate::http_server::{HttpServer, Reply};

const KEYS: &str = "{\"Code\": \"Success\", \"AccessKeyId\": \"key\", \"SecretAccessKey\": \"TOPSECRET\", \"Token\": \"TOPSECRET\", \"Expiration\": \"2100-01-01T00:00:00Z\"}";

fn list(bucket: &FakeBucket, variables: &[(&str, &str)]) {
    let endpoint = ("AWS_ENDPOINT_URL", bucket.server.address.as_str());
    let answer =
        run(&["list", "--json", "--store", "s3://fleet/cores"], &[&[endpoint], variables].concat());
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{variables:?}");
    assert!(bucket.server.request_count() > 0);
}

#[test]
fn an_instance_has_credentials_behind_a_token() {
    let bucket = FakeBucket::start();
    let instance = HttpServer::start(|request| match (request.method.as_str(), &*request.path) {
        ("PUT", "/latest/api/token") => Reply::Status(200, "a-token"),
        ("GET", "/latest/meta-data/iam/security-credentials/") => Reply::Status(200, "role"),
        ("GET", "/latest/meta-data/iam/security-credentials/role") => Reply::Status(200, KEYS),
        _ => Reply::Status(404, ""),
    });
    list(&bucket, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance.address)]);
    let requests = instance.requests.lock().unwrap();
    let names: Vec<_> = requests.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(names, ["PUT", "GET", "GET"], "IMDSv2");
}

fn failure(bucket: &FakeBucket, variables: &[(&str, &str)]) -> String {
    let endpoint = ("AWS_ENDPOINT_URL", bucket.server.address.as_str());
    let answer = run(&["list", "--store", "s3://fleet/cores"], &[&[endpoint], variables].concat());
    assert_eq!((answer.code, bucket.server.request_count()), (Some(1), 0), "{}", answer.stderr);
    assert!(!answer.stderr.contains("TOPSECRET"), "{}", answer.stderr);
    answer.stderr
}

/// As EKS Pod Identity has it, and ECS with a token in a variable, or none.
#[test]
fn a_container_has_credentials_with_any_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "of-a-file\n").unwrap();
    let file = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap());
    let text = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic of-a-variable");
    for (token, expected) in [
        (&[file][..], Some("of-a-file")),
        (&[text], Some("Basic of-a-variable")),
        (&[text, file], Some("of-a-file")),
        (&[], None),
    ] {
        let bucket = FakeBucket::start();
        let agent = HttpServer::start(|_| Reply::Status(200, KEYS));
        let url = agent.url("credentials");
        let address = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str());
        list(&bucket, &[&[address], token].concat());
        let requests = agent.requests.lock().unwrap();
        let tokens: Vec<_> = requests.iter().map(|one| one.authorization.as_deref()).collect();
        assert_eq!(tokens, [expected], "{token:?}");
    }
}

#[test]
fn a_container_without_credentials_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "TOPSECRET\nTOPSECRET").unwrap();
    let file = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap());
    let bucket = FakeBucket::start();
    let agent = |reply: Reply| HttpServer::start(move |_| reply.clone());
    let expired = KEYS.replace("2100", "2020").leak();
    for (reply, token, said) in [
        (Reply::Status(403, "TOPSECRET"), &[][..], "answered with the status 403"),
        (Reply::Status(200, "TOPSECRET"), &[], "has answered no credentials"),
        (Reply::Status(200, expired), &[], "that expired at 2020-01-01T00:00:00Z"),
        (Reply::Status(200, KEYS), &[file], "characters that no header has"),
    ] {
        let agent = agent(reply);
        let url = agent.url("credentials?TOPSECRET");
        let address = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str());
        let text = failure(&bucket, &[&[address], token].concat());
        assert!(text.contains(said), "{text}");
    }
    for address in ["http://TOPSECRET.example/", "TOPSECRET"] {
        let text = failure(&bucket, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)]);
        assert!(text.contains("neither of https:// nor an address of this host"), "{text}");
    }
}

#[test]
fn a_program_has_credentials_until_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let (config, runs) = (folder.path().join("config"), folder.path().join("runs"));
    let variable = ("AWS_CONFIG_FILE", config.to_str().unwrap());
    let set = |program: &str| {
        let line = format!("[default]\ncredential_process = {program}\n");
        fs::write(&config, line).unwrap();
    };
    let keys = |version: u32, end: &str| {
        let (version, runs) = (format!("\"Version\": {version}"), runs.display());
        let keys = KEYS.replace("\"Code\": \"Success\"", &version).replace("2100", end);
        format!("echo >> {runs}; echo '{}'", keys.replace("\"Token\"", "\"SessionToken\""))
    };
    let bucket = FakeBucket::start();
    for (program, said) in [
        ("echo TOPSECRET >&2; exit 3".to_owned(), "credential_process has failed: exit status: 3"),
        ("echo TOPSECRET".to_owned(), "credential_process has printed no credentials"),
        (keys(1, "2020"), "credential_process has given credentials that expired at 2020-01-01"),
        (keys(2, "2100"), "has printed version 2, and 1 is known"),
    ] {
        set(&program);
        let text = failure(&bucket, &[variable]);
        assert!(text.contains(said), "{text}");
    }
    // Those that last are asked for once, and those that end soon are replaced.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(2);
    let soon = soon.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for (end, is_once) in [("2100-01-01T00:00:00Z", true), (soon.as_str(), false)] {
        fs::write(&runs, "").unwrap();
        set(&keys(1, "2100").replace("2100-01-01T00:00:00Z", end));
        let (bucket, store) = (FakeBucket::start(), crate::push::store(None));
        let endpoint = ("AWS_ENDPOINT_URL", bucket.server.address.as_str());
        let pushed = crate::push::push(store.path(), &["latest"], &[endpoint, variable]);
        assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
        assert_eq!(fs::read(&runs).unwrap().len() == 1, is_once, "{end}");
    }
}
