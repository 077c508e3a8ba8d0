//! `mount` and `debug` of a core that is not on this machine: a debugger reads what it would read
//! here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;

use crate::command::{project, run, vmcorectl};
use crate::entry::Entry;
use crate::fake_bucket::FakeBucket;
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
    let encrypted = Entry::of(&["--encrypt-to", &key.to_public().to_string()]).pushed();
    for entry in [plain(), encrypted] {
        let (bucket, address) = in_bucket(&entry);
        let variables = [&variables[..], &bucket.variables()].concat();
        check(entry.folder.to_str().unwrap(), &address, &variables);
    }
}

/// The entry in a bucket, and its address.
fn in_bucket(entry: &Entry) -> (FakeBucket, String) {
    let bucket = FakeBucket::start();
    let address = "fleet/cores/web/20260101T000000Z-aaaa0001";
    for (name, bytes) in &entry.files {
        bucket.put(&format!("{address}/{name}"), bytes);
    }
    (bucket, format!("s3://{address}"))
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

/// drgn, and in the full run crash, with files that are made out of the core.
#[test]
fn other_debuggers_on_an_address_print_what_they_print_on_the_entry() {
    let drgn = project().join("target/drgn-venv/bin");
    let can_run = can_mount() && drgn.join("drgn").exists();
    if !can_run && leave_out("no debugger: drgn or /dev/fuse is missing") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (script, commands) = (folder.path().join("script.py"), folder.path().join("commands"));
    let lines = "from drgn.helpers.linux.pid import for_each_task\n\
                 print(prog['init_uts_ns'].name.release)\n\
                 print(sorted((t.pid.value_(), t.comm.string_()) for t in for_each_task(prog)))\n";
    fs::write(&script, lines).unwrap();
    fs::write(&commands, "set scroll off\nps\nbt -a\nlog\nquit\n").unwrap();
    let (script, commands) = (script.to_str().unwrap(), commands.to_str().unwrap());
    let path = format!("{}:/usr/bin:/bin", drgn.display());
    let entry = Entry::new().pushed();
    let (bucket, address) = in_bucket(&entry);
    let mut programs = vec![(vec!["--with", "drgn", "--", "-q", script], "kswapd0")];
    if std::env::var_os("VMCORECTL_TEST_FULL").is_some() {
        programs.push((vec!["--with", "crash", "--", "-s", "-i", commands], "kswapd0"));
    }
    for (words, said) in programs {
        let debug = |entry: &str| {
            let cache = tempfile::tempdir().unwrap();
            let own = [("PATH", &*path), ("XDG_CACHE_HOME", cache.path().to_str().unwrap())];
            let variables = [&own[..], &bucket.variables()].concat();
            let answer = run(&[&["debug", entry, "-q"], &words[..]].concat(), &variables);
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            assert_eq!(answer.code, Some(0), "{entry}: {text}{}", answer.stderr);
            text
        };
        let (here, there) = (debug(entry.folder.to_str().unwrap()), debug(&address));
        assert!(here.contains(said), "{here}");
        assert!(here == there, "{here}\n{there}");
    }
}
