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

#[test]
fn a_container_has_credentials_behind_a_file_with_a_token() {
    let bucket = FakeBucket::start();
    let agent = HttpServer::start(|_| Reply::Status(200, KEYS));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "a-token").unwrap();
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("credentials")),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap().to_owned()),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    list(&bucket, &variables);
    // What the client cannot bear is an error, and no command that waits for ever.
    fs::write(&token, "a token\n").unwrap();
    let endpoint = ("AWS_ENDPOINT_URL", bucket.server.address.as_str());
    let answer =
        run(&["list", "--store", "s3://fleet/cores"], &[&[endpoint], &*variables].concat());
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("the client of object storage has failed"), "{}", answer.stderr);
}
