//! Secrets are in no argument list of another process, and in no message.

use std::fs;
use std::process::Stdio;
use std::sync::mpsc::channel;

use crate::command::{run, vmcorectl};
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
