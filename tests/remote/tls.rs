//! Servers behind TLS: the system's roots decide, and `SSL_CERT_FILE` where it is set.

use std::path::Path;
use std::process::Command;

use crate::command::run;
use crate::push::{URL, core, push, store};
use crate::seaweedfs::SeaweedFs;

fn openssl(folder: &Path, words: &[&str]) {
    let made = Command::new("openssl").args(words).current_dir(folder).output().expect("openssl");
    assert!(made.status.success(), "{made:?}");
}

/// An authority that signs itself, and with `is_for_server` a certificate of it for this address.
pub(crate) fn certificates(folder: &Path, name: &str, is_for_server: bool) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let (root, root_key) = (format!("{name}.ca.pem"), format!("{name}.ca.key"));
    let authority = ["req", "-x509", "-days", "2", "-subj", "/CN=an authority"];
    openssl(folder, &[&authority[..], &key, &["-keyout", &root_key, "-out", &root]].concat());
    if is_for_server {
        let name_of = ["req", "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1"];
        openssl(folder, &[&name_of[..], &key, &["-keyout", "own.key", "-out", "own.csr"]].concat());
        let sign = ["x509", "-req", "-days", "2", "-in", "own.csr", "-copy_extensions", "copyall"];
        let by = ["-CA", &root, "-CAkey", &root_key, "-CAcreateserial", "-out", "own.pem"];
        openssl(folder, &[&sign[..], &by].concat());
    }
}

#[test]
fn a_server_is_believed_by_its_certificate_alone() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), "own", true);
    certificates(folder.path(), "other", false);
    let Some(server) = SeaweedFs::start_with_tls("fleet", folder.path()) else { return };
    let endpoint = server.tls_endpoint();
    let variables = |file: &'static str| {
        let [_, key, secret] = server.variables();
        let path = folder.path().join(file).to_str().unwrap().to_owned();
        (("AWS_ENDPOINT_URL", endpoint.clone()), key, secret, ("SSL_CERT_FILE", path))
    };
    let run_with = |file: &'static str, words: &[&str]| {
        let (endpoint, key, secret, roots) = variables(file);
        run(words, &[(endpoint.0, &endpoint.1), key, secret, (roots.0, &roots.1)])
    };
    let own = store(Some(&core(12 << 20)));
    let here = own.path().to_str().unwrap();
    let words = ["push", "--all", "--to", URL, "--store", here];
    let refused = run_with("other.ca.pem", &words);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.to_lowercase().contains("certificate"), "{}", refused.stderr);
    // The pause after a failure is not waited for where the entry is named.
    let words = ["push", "latest", "--to", URL, "--store", here];
    let pushed = run_with("own.ca.pem", &words);
    assert_eq!((pushed.code, pushed.stderr.as_str()), (Some(0), ""));
    let there = run_with("own.ca.pem", &["list", "--json", "--store", URL]);
    assert!(String::from_utf8_lossy(&there.stdout).contains("\"complete\""), "{}", there.stderr);
    // The same server without TLS is there for who asks for that.
    assert_eq!(push(own.path(), &["latest"], &server.variables()).code, Some(0));
}
