//! A real server of S3's protocol, started for one test: `SeaweedFS`, or Ceph where
//! `VMCORECTL_TEST_CEPH` is set (`tests/remote/ceph`, in the full run).

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::leave_out::leave_out;

pub(crate) const KEY: &str = "ci-key";
pub(crate) const SECRET: &str = "ci-secret-0123456789";
const IDENTITIES: &str = r#"{"identities":[{"name":"ci","credentials":[{"accessKey":"ci-key",
    "secretKey":"ci-secret-0123456789"}],"actions":["Admin","Read","Write","List","Tagging"]}]}"#;
/// A signature by curl. It is of the head alone, which Ceph wants to be said.
const SIGNED: [&str; 6] = [
    "-sS",
    "--fail",
    "--aws-sigv4",
    "aws:amz:us-east-1:s3",
    "-H",
    "x-amz-content-sha256: UNSIGNED-PAYLOAD",
];
/// How long it may take to start, on a machine that is busy.
const START: Duration = Duration::from_secs(120);

/// The server. Ends when dropped, and so does its directory.
pub(crate) struct SeaweedFs {
    server: Child,
    pub(crate) endpoint: String,
    ports: Vec<u16>,
    /// Where its certificate is, if it has one.
    tls: Option<PathBuf>,
    folder: tempfile::TempDir,
}

impl SeaweedFs {
    /// Starts one with an empty bucket; `None` if it is not installed and need not be.
    pub(crate) fn start(bucket: &str) -> Option<Self> {
        Self::start_as(bucket, None)
    }

    /// The same, with a port for TLS, too: `own.pem` and `own.key` in a directory.
    pub(crate) fn start_with_tls(bucket: &str, certificate: &Path) -> Option<Self> {
        Self::start_as(bucket, Some(certificate))
    }

    fn start_as(bucket: &str, tls: Option<&Path>) -> Option<Self> {
        if is_ceph() && tls.is_some() {
            return None;
        }
        let program = program();
        if !program.exists() {
            let line = "a test is left out: it needs SeaweedFS; tests/run leaves nothing out";
            assert!(leave_out(line), "SeaweedFS is not in target/seaweedfs-venv");
            return None;
        }
        // A port may be taken between the look and the start.
        let started = (0..5).find_map(|_| Self::try_start(&program, tls));
        let started = started.expect("SeaweedFS starts");
        started.curl(&["-X", "PUT"], bucket);
        Some(started)
    }

    fn try_start(program: &Path, tls: Option<&Path>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("s3.json"), IDENTITIES).unwrap();
        let ports = free_ports();
        let server = spawn(program, folder.path(), &ports, tls);
        let endpoint = format!("http://127.0.0.1:{}", ports[0]);
        let tls = tls.map(Path::to_owned);
        let mut started = Self { server, endpoint, ports, tls, folder };
        started.is_ready().then_some(started)
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.kill_all();
    }

    /// Ceph has several processes.
    fn kill_all(&mut self) {
        let group = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process_group(group.unwrap(), Signal::KILL);
        self.server.wait().unwrap();
    }

    /// Starts it again, with what it had.
    pub(crate) fn restart(&mut self) {
        let _ = fs::remove_file(self.folder.path().join("ready"));
        self.server = spawn(&program(), self.folder.path(), &self.ports, self.tls.as_deref());
        assert!(self.is_ready(), "SeaweedFS does not start again");
    }

    /// Waits until it answers; `false` if it has ended.
    fn is_ready(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < START {
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                return false;
            }
            if is_ceph() {
                if self.folder.path().join("ready").exists() {
                    return true;
                }
                thread::sleep(Duration::from_millis(50));
                continue;
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
            .args(SIGNED)
            .args(["--user", &format!("{KEY}:{SECRET}")])
            .args(arguments)
            .arg(format!("{}/{key}", self.endpoint))
            .stdout(Stdio::null())
            .status()
            .expect("curl");
        assert!(status.success(), "{arguments:?} {key}");
    }

    /// What a request with a signature answers.
    fn asked(&self, query: &str) -> String {
        let output = Command::new("curl")
            .args(SIGNED)
            .args(["--user", &format!("{KEY}:{SECRET}")])
            .arg(format!("{}/{query}", self.endpoint))
            .output()
            .expect("curl");
        assert!(output.status.success(), "{query}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The keys that begin so.
    pub(crate) fn list(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let prefix = prefix.replace('/', "%2F");
        let answer = self.asked(&format!("{bucket}?list-type=2&prefix={prefix}"));
        let keys = answer.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    }

    /// How many uploads are not finished.
    pub(crate) fn uploads(&self, bucket: &str) -> usize {
        self.asked(&format!("{bucket}?uploads=")).matches("<UploadId>").count()
    }

    pub(crate) fn get(&self, key: &str, file: &Path) {
        self.curl(&["-o", file.to_str().unwrap()], key);
    }

    pub(crate) fn put(&self, file: &Path, key: &str) {
        self.curl(&["-T", file.to_str().unwrap()], key);
    }

    /// The same file under many keys.
    pub(crate) fn put_all(&self, file: &str, keys: impl Iterator<Item = String>) {
        let mut command = Command::new("curl");
        command.args(SIGNED).args(["--user", &format!("{KEY}:{SECRET}")]);
        for key in keys {
            command.args(["-T", file, &format!("{}/{key}", self.endpoint)]);
        }
        assert!(command.stdout(Stdio::null()).status().expect("curl").success());
    }

    /// Its address with TLS.
    pub(crate) fn tls_endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports[7])
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
        self.kill_all();
    }
}

fn is_ceph() -> bool {
    env::var_os("VMCORECTL_TEST_CEPH").is_some()
}

fn program() -> PathBuf {
    let program = if is_ceph() { "tests/remote/ceph" } else { "target/seaweedfs-venv/bin/weed" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(program)
}

fn spawn(program: &Path, folder: &Path, ports: &[u16], tls: Option<&Path>) -> Child {
    let names = ["s3.port", "master.port", "volume.port", "filer.port", "admin.port"];
    let names = names.into_iter().chain(["s3.port.iceberg", "s3.port.lance"]);
    let mut command = Command::new(program);
    if is_ceph() {
        command.arg("run").arg(folder).arg(ports[0].to_string()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        return command.spawn().unwrap();
    }
    command.arg("mini").arg(format!("-dir={}", folder.display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false"]);
    command.arg(format!("-s3.config={}", folder.join("s3.json").display()));
    command.args(names.zip(ports).map(|(name, port)| format!("-{name}={port}")));
    if let Some(certificate) = tls {
        command.arg(format!("-s3.port.https={}", ports[7]));
        command.arg(format!("-s3.cert.file={}", certificate.join("own.pem").display()));
        command.arg(format!("-s3.key.file={}", certificate.join("own.key").display()));
    }
    command.current_dir(folder).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Eight ports that are free, and so is each one 10,000 above, for gRPC.
fn free_ports() -> Vec<u16> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < 8 {
        let Ok(any) = TcpListener::bind("127.0.0.1:0") else { continue };
        let port = 10_000 + any.local_addr().unwrap().port() % 20_000;
        if let (Some(one), Some(other)) = (is_free(port), is_free(port + 10_000)) {
            held.extend([one, other]);
            ports.push(port);
        }
    }
    ports
}
