//! A real server of S3's protocol, started for one test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::project;
use crate::leave_out::leave_out;

pub(crate) const KEY: &str = "ci-key";
pub(crate) const SECRET: &str = "ci-secret-0123456789";
const IDENTITIES: &str = r#"{"identities":[{"name":"ci","credentials":[{"accessKey":"ci-key",
    "secretKey":"ci-secret-0123456789"}],"actions":["Admin","Read","Write","List","Tagging"]}]}"#;
/// How long it may take to start, on a machine that is busy.
const START: Duration = Duration::from_secs(120);

/// The server. Ends when dropped, and so does its directory.
pub(crate) struct SeaweedFs {
    server: Child,
    pub(crate) endpoint: String,
    ports: Vec<u16>,
    folder: tempfile::TempDir,
}

impl SeaweedFs {
    /// Starts one with an empty bucket; `None` if it is not installed and need not be.
    pub(crate) fn start(bucket: &str) -> Option<Self> {
        let program = project().join("target/seaweedfs-venv/bin/weed");
        if !program.exists() {
            let line = "a test is left out: it needs SeaweedFS; tests/run leaves nothing out";
            assert!(leave_out(line), "SeaweedFS is not in target/seaweedfs-venv");
            return None;
        }
        // A port may be taken between the look and the start.
        let started = (0..5).find_map(|_| Self::try_start(&program));
        let started = started.expect("SeaweedFS starts");
        started.curl(&["-X", "PUT"], bucket);
        Some(started)
    }

    fn try_start(program: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("s3.json"), IDENTITIES).unwrap();
        let ports = free_ports();
        let server = spawn(program, folder.path(), &ports);
        let endpoint = format!("http://127.0.0.1:{}", ports[0]);
        let mut started = Self { server, endpoint, ports, folder };
        started.is_ready().then_some(started)
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again, with what it had.
    pub(crate) fn restart(&mut self) {
        let program = project().join("target/seaweedfs-venv/bin/weed");
        self.server = spawn(&program, self.folder.path(), &self.ports);
        assert!(self.is_ready(), "SeaweedFS does not start again");
    }

    /// Waits until it answers; `false` if it has ended.
    fn is_ready(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < START {
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                return false;
            }
            let asked = Command::new("curl")
                .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", &self.endpoint])
                .output()
                .expect("curl");
            // It knows nobody without a signature.
            if asked.stdout == b"403" {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("SeaweedFS does not answer");
    }

    /// A request with a signature.
    pub(crate) fn curl(&self, arguments: &[&str], key: &str) {
        let status = Command::new("curl")
            .args(["-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3"])
            .args(["--user", &format!("{KEY}:{SECRET}")])
            .args(arguments)
            .arg(format!("{}/{key}", self.endpoint))
            .stdout(Stdio::null())
            .status()
            .expect("curl");
        assert!(status.success(), "{arguments:?} {key}");
    }

    pub(crate) fn get(&self, key: &str, file: &Path) {
        self.curl(&["-o", file.to_str().unwrap()], key);
    }

    pub(crate) fn put(&self, file: &Path, key: &str) {
        self.curl(&["-T", file.to_str().unwrap()], key);
    }

    /// What a client of it has in its environment.
    pub(crate) fn variables(&self) -> [(&str, &str); 3] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ]
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn spawn(program: &Path, folder: &Path, ports: &[u16]) -> Child {
    let names = ["s3.port", "master.port", "volume.port", "filer.port", "admin.port"];
    let names = names.into_iter().chain(["s3.port.iceberg", "s3.port.lance"]);
    let mut command = Command::new(program);
    command.arg("mini").arg(format!("-dir={}", folder.display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false"]);
    command.arg(format!("-s3.config={}", folder.join("s3.json").display()));
    command.args(names.zip(ports).map(|(name, port)| format!("-{name}={port}")));
    command.current_dir(folder).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Seven ports that are free, and so is each one 10,000 above, for gRPC.
fn free_ports() -> Vec<u16> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < 7 {
        let Ok(any) = TcpListener::bind("127.0.0.1:0") else { continue };
        let port = 10_000 + any.local_addr().unwrap().port() % 20_000;
        if let (Some(one), Some(other)) = (is_free(port), is_free(port + 10_000)) {
            held.extend([one, other]);
            ports.push(port);
        }
    }
    ports
}
