//! Credentials for a token of a web identity, as pods of Kubernetes have it: by a token service
//! behind TLS, which the variables of AWS's programs name.

use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::command::run;
use crate::fake_bucket::FakeBucket;
use crate::http_server::{HttpServer, Reply, receive};
use crate::tls::certificates;

/// A token service. Gives its address; the forms that it got are kept.
fn service(
    folder: &Path,
    script: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_file(folder.join("own.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("own.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let forms: Arc<Mutex<Vec<String>>> = Arc::default();
    let (script, kept) = (Arc::new(script), Arc::clone(&forms));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, kept) = (Arc::clone(&script), Arc::clone(&kept));
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
            thread::spawn(move || {
                while let Some(request) = receive(&mut stream) {
                    let form = String::from_utf8(request.body).unwrap() + &request.path;
                    let (status, text) = script(&form);
                    kept.lock().unwrap().push(form);
                    let length = text.len();
                    let head = format!("HTTP/1.1 {status} No\r\nContent-Length: {length}\r\n\r\n");
                    let answer = head + &text;
                    if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, forms)
}

/// Keys that end so soon that they are replaced at each request.
fn keys() -> (u16, String) {
    let end = Timestamp::now() + SignedDuration::from_secs(60);
    let end = end.strftime("%Y-%m-%dT%H:%M:%SZ");
    (
        200,
        format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
         <AccessKeyId>of-the-service</AccessKeyId><SecretAccessKey>TOPSECRET</SecretAccessKey>\
         <SessionToken>TOPSECRET</SessionToken><Expiration>{end}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ),
    )
}

#[test]
fn a_web_identity_has_credentials_as_long_as_its_token_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), "own", true);
    let token = folder.path().join("token");
    fs::write(&token, "TOPSECRET-1").unwrap();
    let file = token.clone();
    let (address, forms) = service(folder.path(), move |_| {
        fs::write(&file, "TOPSECRET-2").unwrap();
        keys()
    });
    let bucket = FakeBucket::start();
    let roots = folder.path().join("own.ca.pem");
    let variables = [
        ("AWS_ENDPOINT_URL", bucket.server.address.as_str()),
        ("AWS_ENDPOINT_URL_STS", &address),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/reader"),
        ("AWS_ROLE_SESSION_NAME", "a-session"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("SSL_CERT_FILE", roots.to_str().unwrap()),
    ];
    let store = crate::push::store(None);
    // Between two requests there is the time in which a token is not asked for again.
    *bucket.faults.delay.lock().unwrap() = Duration::from_millis(150);
    let pushed = crate::push::push(store.path(), &["latest"], &variables);
    assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
    let forms = forms.lock().unwrap();
    assert!(forms[0].contains("TOPSECRET-1") && forms[0].contains("a-session"), "{forms:?}");
    assert!(forms.len() > 1 && forms[1].contains("TOPSECRET-2"), "{forms:?}");
    let requests = bucket.server.requests.lock().unwrap();
    assert!(requests.iter().all(|request| {
        request.authorization.as_ref().is_some_and(|by| by.contains("of-the-service/"))
    }));
}

#[test]
fn a_token_that_is_not_accepted_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), "own", true);
    certificates(folder.path(), "other", false);
    let token = folder.path().join("token");
    fs::write(&token, "TOPSECRET").unwrap();
    let (address, _) = service(folder.path(), |_| {
        (
            400,
            "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredTokenException</Code>\
               <Message>Token expired: current date/time 2 must be before the expiration</Message>\
               </Error><Token>TOPSECRET</Token></ErrorResponse>"
                .to_owned(),
        )
    });
    let plain = HttpServer::start(|_| Reply::Status(200, ""));
    let missing = folder.path().join("missing");
    for (service, token, roots, said) in [
        (&address, &token, "own.ca.pem", &["ExpiredTokenException", "Token expired"][..]),
        (&address, &missing, "own.ca.pem", &["missing"]),
        (&address, &token, "other.ca.pem", &["certificate"]),
        (&plain.address, &token, "own.ca.pem", &["a token is sent over https:// alone"]),
    ] {
        let bucket = FakeBucket::start();
        let roots = folder.path().join(roots);
        let variables = [
            ("AWS_ENDPOINT_URL", bucket.server.address.as_str()),
            ("AWS_ENDPOINT_URL_STS", service),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/reader"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("SSL_CERT_FILE", roots.to_str().unwrap()),
        ];
        let answer = run(&["list", "--store", "s3://fleet/cores"], &variables);
        assert_eq!((answer.code, bucket.server.request_count()), (Some(1), 0), "{answer:?}");
        let text = answer.stderr.to_lowercase();
        for said in said {
            assert!(text.contains(&said.to_lowercase()), "{said}: {}", answer.stderr);
        }
        assert!(!answer.stderr.contains("TOPSECRET"), "{}", answer.stderr);
    }
    assert_eq!(plain.request_count(), 0);
}
