//! What a confined process can still do. Each test runs one in a process of its own.

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use super::*;
use crate::sandbox::limits::Reads;

/// Names the probe, and a folder for it.
const PROBE: &str = "VMCORECTL_PROBE";
const FOLDER: &str = "VMCORECTL_PROBE_FOLDER";

/// Runs `confined` in a process of its own.
fn probe(name: &str, folder: &Path) -> Output {
    let test = "sandbox::confine::tests::the_confined_process";
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(PROBE, name)
        .env(FOLDER, folder)
        .output()
        .unwrap()
}

/// What is run in that process.
#[test]
#[ignore = "is run by the other tests"]
fn the_confined_process() {
    let Ok(probe) = std::env::var(PROBE) else { return };
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let unlimited = Limits::of_stored(0, Reads::Unlimited);
    let kernel = Limits::of_stored(0, Reads::Kernel);
    let missing = match probe.as_str() {
        "command" => command(&unlimited, &[]),
        "command that writes" => command(&unlimited, &[&folder.join("out")]),
        "import" => import(&unlimited, &folder.join("out")),
        _ => child(&kernel),
    };
    assert_eq!(missing, Vec::<String>::new());
    if probe == "import" {
        File::create(folder.join("out/a")).unwrap().write_all(b"x").unwrap();
        File::create(folder.join("c")).unwrap_err();
        TcpListener::bind("127.0.0.1:0").unwrap_err();
        assert!(Command::new("/bin/true").status().unwrap().success());
        let _ = writeln!(io::stderr(), "as it should be");
        return;
    }
    if probe == "child that allocates" {
        let much = usize::try_from(kernel.memory()).unwrap();
        std::hint::black_box(vec![1_u8; much]);
    }
    no_network_and_no_program(&folder);
    assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
    match probe.as_str() {
        "command that writes" => {
            File::create(folder.join("out/a")).unwrap().write_all(b"x").unwrap();
            fs::rename(folder.join("out/a"), folder.join("out/b")).unwrap();
            fs::remove_file(folder.join("out/b")).unwrap();
            File::create(folder.join("c")).unwrap_err();
            fs::rename(folder.join("there"), folder.join("out/there")).unwrap_err();
        }
        "command" => assert_eq!(fs::read(folder.join("there")).unwrap(), b"there"),
        _ => drop(File::open(folder.join("there")).unwrap_err()),
    }
    let _ = writeln!(io::stderr(), "as it should be");
}

fn no_network_and_no_program(folder: &Path) {
    TcpListener::bind("127.0.0.1:0").unwrap_err();
    UdpSocket::bind("127.0.0.1:0").unwrap_err();
    UnixListener::bind(folder.join("socket")).unwrap_err();
    Command::new("true").status().unwrap_err();
    File::create(folder.join("new")).unwrap_err();
    File::options().append(true).open(folder.join("there")).unwrap_err();
    fs::remove_file(folder.join("there")).unwrap_err();
    fs::create_dir(folder.join("folder")).unwrap_err();
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("there"), b"there").unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    folder
}

#[test]
fn a_confined_process_has_no_network_no_program_and_no_new_file() {
    for name in ["child", "command", "command that writes", "import"] {
        let folder = folder();
        let ran = probe(name, folder.path());
        let text = String::from_utf8_lossy(&ran.stderr);
        assert!(text.contains("as it should be"), "{name}: {ran:?}");
    }
}

#[test]
fn a_child_that_allocates_without_end_ends() {
    let folder = folder();
    let ran = probe("child that allocates", folder.path());
    let text = String::from_utf8_lossy(&ran.stderr);
    let failed = format!(
        "memory allocation of {} bytes failed",
        Limits::of_stored(0, Reads::Kernel).memory()
    );
    assert!(text.contains(&failed), "{ran:?}");
    assert!(!ran.status.success());
}
