//! `mount` and `debug` of a core that is not on this machine: a debugger reads what it would read
//! here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;

use crate::command::{run, vmcorectl};
use crate::entry::Entry;
use crate::leave_out::leave_out;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);
const FILES: [&str; 3] = ["vmcore", "metadata.json", "vmcoreinfo.txt"];

/// A mount, which ends with the test.
struct Mount {
    folder: PathBuf,
    program: Child,
}

impl Mount {
    fn of(entry: &str, folder: PathBuf, variables: &[(&str, &str)]) -> Self {
        fs::create_dir(&folder).unwrap();
        let mut command = vmcorectl(&["mount", entry, folder.to_str().unwrap()], variables);
        let program = command.stderr(Stdio::null()).spawn().unwrap();
        let mut mount = Self { folder, program };
        let started = Instant::now();
        while !mount.folder.join(FILES[0]).exists() {
            assert!(mount.program.try_wait().unwrap().is_none(), "{entry} is not mounted");
            assert!(started.elapsed() < TEST_TIMEOUT, "no mount");
            sleep(Duration::from_millis(10));
        }
        mount
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let id = self.program.id().to_string();
        let _ = Command::new("kill").args(["-s", "TERM", &id]).status();
        let _ = self.program.wait();
    }
}

/// An entry with and without its pack, and an encrypted one: its path, its address and its key.
fn check_each(check: impl Fn(&str, &str, &[(&str, &str)])) {
    let folder = tempfile::tempdir().unwrap();
    let key = age::x25519::Identity::generate();
    let file = folder.path().join("key");
    fs::write(&file, key.to_string().expose_secret()).unwrap();
    let variables = [("VMCORECTL_IDENTITY", file.to_str().unwrap())];
    let plain = || Entry::new().pushed();
    let encrypted = Entry::of(&["--encrypt-to", &key.to_public().to_string()]).pushed();
    for entry in [plain(), plain().without("triage.zst"), encrypted] {
        let (_server, url) = entry.serve();
        let address = url.rsplit_once('/').unwrap().0;
        check(entry.folder.to_str().unwrap(), address, &variables);
    }
}

fn can_mount() -> bool {
    File::options().read(true).write(true).open("/dev/fuse").is_ok()
        && rustix::process::geteuid().is_root()
}

#[test]
fn what_is_mounted_of_an_address_is_what_is_mounted_of_the_entry() {
    if !can_mount() && leave_out("no mounts: this user has no /dev/fuse") {
        return;
    }
    check_each(|path, address, variables| {
        let folder = tempfile::tempdir().unwrap();
        let here = Mount::of(path, folder.path().join("here"), variables);
        let there = Mount::of(address, folder.path().join("there"), variables);
        for name in FILES {
            assert!(here.file(name) == there.file(name), "{name} of {address} differs");
        }
    });
}

#[test]
fn a_debugger_on_an_address_prints_what_it_prints_on_the_entry() {
    let has_gdb = Path::new("/usr/bin/gdb").exists();
    if !(can_mount() && has_gdb) && leave_out("no debugger: gdb or /dev/fuse is missing") {
        return;
    }
    let script =
        ["info threads", "info registers", "print &init_task", "print sizeof(struct task_struct)"];
    let script: Vec<&str> = script.iter().flat_map(|line| ["-ex", *line]).collect();
    check_each(|path, address, variables| {
        let cache = tempfile::tempdir().unwrap();
        let path_variable = ("PATH", "/usr/bin:/bin");
        let cached = ("XDG_CACHE_HOME", cache.path().to_str().unwrap());
        let variables = [variables, &[path_variable, cached]].concat();
        let debug = |entry| {
            let words = ["debug", entry, "-q", "--with", "gdb", "--", "-batch", "-nx"];
            let answer = run(&[&words, &script[..]].concat(), &variables);
            assert_eq!(answer.code, Some(0), "{entry}: {}", answer.stderr);
            answer.stdout
        };
        let (here, there) = (debug(path), debug(address));
        let text = String::from_utf8_lossy(&here);
        assert!(text.contains("rip "), "{text}");
        assert!(here == there, "{text}\n{}", String::from_utf8_lossy(&there));
    });
}
