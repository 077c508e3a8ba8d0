//! What a server does wrong is an error with the address and the reason: never zeros, and never the
//! bytes of another object.

use crate::command::{Answer, run};
use crate::http_server::{HttpServer, Object, Reply};
use crate::{CORE, NAME, sample};

/// How many requests open a core and read its head.
const OPENED: usize = 2;

/// All of memory, through a server that fails after some requests.
fn read_all(server: &HttpServer) -> Answer {
    run(&["read", &server.url(NAME), "0", "64M", "--raw"], &[])
}

/// What came is the beginning of what there is, and the message has the address and the reason.
#[track_caller]
fn check_failed(server: &HttpServer, reason: &str) {
    let answer = read_all(server);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains(reason), "{}", answer.stderr);
    let whole = run(&["read", CORE, "0", "64M", "--raw"], &[]).stdout;
    assert!(answer.stdout.len() < whole.len());
    assert!(whole.starts_with(&answer.stdout), "bytes that the core does not have");
}

/// A server that gives the core, and from a request on something else.
fn then(other: impl Fn(Object) -> Reply + Send + Sync + 'static) -> HttpServer {
    let object = Object::new(sample());
    HttpServer::start(move |request| match request.number {
        0..=OPENED => Reply::Object(object.clone()),
        _ => other(object.clone()),
    })
}

#[test]
fn dropped_connections_are_taken_up_again() {
    for etag in [Some("\"one\""), None] {
        let object = Object { etag, ..Object::new(sample()) };
        let server = HttpServer::start(move |request| match request.number % 2 {
            1 => Reply::Dropped(object.clone()),
            _ => Reply::Object(object.clone()),
        });
        let answer = run(&["dmesg", &server.url(NAME)], &[]);
        assert_eq!(answer, run(&["dmesg", CORE], &[]));
    }
}

#[test]
fn a_core_that_was_replaced_is_an_error() {
    check_failed(&then(|_| Reply::Status(412, "")), "it was changed since it was opened");
}

/// A server that ignores If-Match answers with the bytes of the new object.
#[test]
fn a_server_that_ignores_conditions_is_not_believed() {
    let other = |object: Object| Reply::Object(Object { etag: Some("\"two\""), ..object });
    check_failed(&then(other), "it was changed since it was opened");
    let other = |object: Object| Reply::Object(Object { etag: None, ..object });
    check_failed(&then(other), "it was changed since it was opened");
    let longer = |object: Object| {
        let bytes = [object.bytes.as_slice(), b"more"].concat();
        Reply::Object(Object { bytes: bytes.into(), ..object })
    };
    check_failed(&then(longer), "it was changed since it was opened");
}

#[test]
fn without_etags_the_time_of_the_last_change_decides() {
    let object = Object { etag: None, ..Object::new(sample()) };
    let server = HttpServer::start(move |request| match request.number {
        0..=OPENED => Reply::Object(object.clone()),
        _ => {
            let modified = "Fri, 02 Jan 2026 00:00:00 GMT";
            Reply::Object(Object { modified, ..object.clone() })
        }
    });
    check_failed(&server, "it was changed since it was opened");
}

/// Nothing but the checksums of the core shows it.
#[test]
fn bytes_of_another_object_are_damage() {
    let other = |object: Object| {
        let bytes: Vec<u8> = object.bytes.iter().rev().copied().collect();
        Reply::Object(Object { bytes: bytes.into(), ..object })
    };
    check_failed(&then(other), "is damaged");
}

#[test]
fn a_core_that_is_gone_is_an_error() {
    check_failed(&then(|_| Reply::Status(404, "")), "is gone");
}

#[test]
fn an_expired_token_is_an_error_with_the_servers_word_for_it() {
    const EXPIRED: &str = "<?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>The token has expired.</Message><Token-0>TOPSECRET</Token-0></Error>";
    let server = then(|_| Reply::Status(403, EXPIRED));
    check_failed(&server, "ExpiredToken");
    let answer = run(&["info", &server.url(NAME)], &[]);
    assert!(!answer.stderr.contains("TOPSECRET"), "{}", answer.stderr);
}

/// Signatures are of a time, and a server refuses those of another one.
#[test]
fn a_clock_that_is_wrong_is_named_with_the_servers_date() {
    const SKEWED: &str = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message></Error>";
    let server =
        HttpServer::start(|_| Reply::StatusAt(403, SKEWED, "Fri, 01 Jan 2010 00:00:00 GMT"));
    let variables = [
        ("AWS_ENDPOINT_URL", server.address.as_str()),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "TOPSECRET"),
    ];
    let answer = run(&["list", "--store", "s3://fleet/cores"], &variables);
    assert_eq!(answer.code, Some(1));
    for said in ["RequestTimeTooSkewed: The difference between", ": the clock of this host is"] {
        assert!(answer.stderr.contains(said), "{}", answer.stderr);
    }
    assert!(answer.stderr.contains("ahead of the server's, which says 2010-01-01T00:00:0"));
    assert!(!answer.stderr.contains("TOPSECRET"), "{}", answer.stderr);
}

/// After the first that cannot be had, nothing more is asked for: a report reads hundreds of pages.
#[test]
fn what_is_lost_is_not_asked_for_again() {
    let server = then(|_| Reply::Status(404, ""));
    let _ = run(&["report", &server.url(NAME)], &[]);
    assert!(server.request_count() <= OPENED + 1 + 8, "{}", server.request_count());
}

#[test]
fn a_server_without_ranges_is_an_error_and_not_a_download() {
    let object = Object::new(sample());
    let server = HttpServer::start(move |_| Reply::Whole(object.clone()));
    let answer = run(&["info", &server.url(NAME)], &[]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("Range request not supported"), "{}", answer.stderr);
}

#[test]
fn what_is_not_there_is_not_found() {
    let server = HttpServer::of(NAME, Object::new(sample()));
    let url = server.url("none.zst");
    let answer = run(&["info", &url], &[]);
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.stderr, format!("error: {url} is not there\n"));
}
