//! Hooks of management daemons: an event is spooled, and whatever goes wrong, the daemon goes on.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use vmcorectl::spool::{EventKind, SpooledEvent, waiting};

use crate::frozen_disk::FreezableDisk;
use crate::lacking::lacking;
use crate::scripted_qemu::TEST_TIMEOUT;
use crate::setting::finish;
use crate::tmpfs::Tmpfs;
use crate::tool::command;

const XML: &str = "<domain type='kvm' id='7'><name>g1</name>\
    <uuid>c0ffee00-0000-4000-8000-000000000003</uuid><on_crash>destroy</on_crash></domain>";

/// A spool that nothing was written to yet.
struct Spool {
    _parent: TempDir,
    folder: PathBuf,
}

impl Spool {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("spool");
        Self { _parent: parent, folder }
    }

    fn hook<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut hook = command(["hook"]);
        hook.args(arguments).env("VMCORECTL_SPOOL", &self.folder);
        hook
    }

    #[track_caller]
    fn events(&self) -> Vec<SpooledEvent> {
        let waiting = waiting(&self.folder).unwrap();
        assert_eq!(waiting.unreadable, []);
        waiting.events.into_iter().map(|spooled| spooled.event).collect()
    }
}

fn start(mut hook: Command) -> Child {
    hook.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs a hook to its end, which is what a daemon takes for consent. Gives what it complained of.
#[track_caller]
fn consents(hook: Command) -> String {
    let ran = finish(start(hook)).expect(0);
    assert_eq!(ran.stdout, "");
    ran.stderr
}

/// The same, with something on stdin.
#[track_caller]
fn consents_to(mut hook: Command, stdin: &[u8]) -> String {
    hook.stdin(Stdio::piped());
    let mut child = start(hook);
    // It need not read all of it.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let ran = finish(child).expect(0);
    assert_eq!(ran.stdout, "");
    ran.stderr
}

#[test]
fn what_libvirt_did_is_spooled_with_what_its_xml_says() {
    let spool = Spool::new();
    for arguments in [
        ["g1", "prepare", "begin", "-"],
        ["g1", "started", "begin", "-"],
        ["g1", "stopped", "end", "-"],
        ["g1", "release", "end", "crashed"],
    ] {
        let hook = spool.hook([&["libvirt"][..], &arguments].concat());
        assert_eq!(consents_to(hook, XML.as_bytes()), "");
    }
    let events = spool.events();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Came, EventKind::PanicLost]);
    assert_eq!(events[1].uuid.as_deref(), Some("c0ffee00-0000-4000-8000-000000000003"));
    assert_eq!(events[1].on_crash.as_deref(), Some("destroy"));
    let file = fs::read_dir(&spool.folder).unwrap().next().unwrap().unwrap().path();
    let json: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(json["schema"], "vmcorectl/spool/1");
}

#[test]
fn arguments_that_no_daemon_gives_are_answered_as_all_others() {
    let spool = Spool::new();
    for arguments in [
        &[][..],
        &["libvirt"],
        &["libvirt", "g1"],
        &["proxmox", "100", "sometime"],
        &["vmware", "g1", "started"],
        &["--spool"],
        &["--no-such-option", "libvirt"],
    ] {
        let complaint = consents(spool.hook(arguments));
        assert!(complaint.starts_with("error: the hook spooled nothing: "), "{complaint}");
    }
    let bytes = [OsStr::new("libvirt"), OsStr::from_bytes(b"g\xff"), OsStr::new("started")];
    assert_eq!(consents(spool.hook(bytes)), "");
    // A domain may have the name of an option.
    assert_eq!(consents(spool.hook(["libvirt", "--help", "started", "begin", "-"])), "");
    let guests: Vec<_> = spool.events().into_iter().map(|event| event.guest).collect();
    assert_eq!(guests, ["g\u{fffd}", "--help"]);
}

#[test]
fn help_is_printed_for_a_person() {
    let ran = finish(start(command(["hook", "--help"]))).expect(0);
    assert!(ran.stdout.contains("Spool an event"), "{ran:?}");
}

#[test]
fn a_spool_that_takes_nothing_is_no_reason_to_fail() {
    let spool = Spool::new();
    fs::write(&spool.folder, "a file").unwrap();
    let started = ["libvirt", "g1", "started", "begin", "-"];
    assert!(consents(spool.hook(started)).contains("cannot make the directory"));
    let mut hook = spool.hook(started);
    hook.env("VMCORECTL_SPOOL", "/proc/none");
    assert!(consents(hook).contains("cannot make the directory"));
    let other = Spool::new();
    let option = [OsString::from("--spool"), other.folder.clone().into()];
    assert_eq!(consents(spool.hook(option.into_iter().chain(started.map(Into::into)))), "");
    assert_eq!(other.events().len(), 1);
}

#[test]
fn a_full_file_system_is_no_reason_to_fail() {
    let Some(disk) = Tmpfs::of_size(1 << 20) else { return };
    let spool = Spool { folder: disk.path().join("spool"), ..Spool::new() };
    let started = ["libvirt", "g1", "started", "begin", "-"];
    assert_eq!(consents(spool.hook(started)), "");
    // As many bytes as there are.
    let _ = fs::write(disk.path().join("full"), vec![1; 2 << 20]);
    assert!(consents(spool.hook(started)).contains("cannot write"));
    fs::remove_file(disk.path().join("full")).unwrap();
    assert_eq!(spool.events().len(), 1);
}

#[test]
fn a_disk_that_hangs_is_left_to_a_child() {
    let Some(disk) = FreezableDisk::new() else { return };
    let spool = Spool { folder: disk.path().join("spool"), ..Spool::new() };
    let started = ["libvirt", "g1", "started", "begin", "-"];
    assert_eq!(consents(spool.hook(started)), "");
    disk.freeze();
    // stdout and stderr are at their end: nothing that is left behind keeps the daemon waiting.
    assert_eq!(consents(spool.hook(started)), "");
    disk.thaw();
    let begun = std::time::Instant::now();
    while spool.events().len() < 2 {
        assert!(begun.elapsed() < TEST_TIMEOUT, "the child never wrote");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn stdin_of_any_kind_is_neither_waited_for_nor_believed() {
    let spool = Spool::new();
    let started = ["libvirt", "g1", "started", "begin", "-"];
    for stdin in [&b""[..], b"no XML", &vec![b'<'; 8 << 20], &[0xff; 4096]] {
        assert_eq!(consents_to(spool.hook(started), stdin), "");
    }
    // One that stays open, and one that never ends.
    let mut hook = spool.hook(started);
    hook.stdin(Stdio::piped());
    let mut child = start(hook);
    let open = child.stdin.take();
    finish(child).expect(0);
    drop(open);
    let mut hook = spool.hook(started);
    hook.stdin(fs::File::open("/dev/zero").unwrap());
    assert_eq!(consents(hook), "");
    let events = spool.events();
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|event| event.uuid.is_none()));
}

#[test]
fn streams_that_are_closed_or_broken_are_no_reason_to_fail() {
    let spool = Spool::new();
    let program = env!("CARGO_BIN_EXE_vmcorectl");
    for (operation, streams) in [
        ("started", "<&- >&- 2>&-"),
        ("nonsense", "<&- >&- 2>&-"),
        ("started", "2> /dev/full"),
        ("nonsense", "> /dev/full 2> /dev/full"),
        ("nonsense", "2>&1 > /dev/null | true"),
    ] {
        // What the shell answers is what the hook did, also in front of a pipe.
        let script =
            format!("exec 3>&1; {{ {program} hook other {operation} g1; echo $? >&3; }} {streams}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("VMCORECTL_SPOOL", &spool.folder).stdin(Stdio::null());
        let ran = finish(start(shell));
        assert_eq!(ran.stdout, "0\n", "{operation} {streams}: {ran:?}");
    }
    assert_eq!(spool.events().len(), 2);
}

/// A script of `samples/hooks` with its arguments.
fn sample(spool: &Spool, name: &str, program: &Path, arguments: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/hooks").join(name);
    let mut hook = Command::new(script);
    // libvirt gives its hooks no more.
    hook.args(arguments).env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
    hook.env("VMCORECTL", program).env("VMCORECTL_SPOOL", &spool.folder);
    hook.env("VMCORECTL_RUN", spool.folder.with_file_name("run"));
    hook.stdin(Stdio::null());
    hook
}

#[test]
fn the_sample_scripts_spool_and_consent() {
    let spool = Spool::new();
    let program = Path::new(env!("CARGO_BIN_EXE_vmcorectl"));
    for (name, arguments) in [
        ("libvirt-qemu", &["g1", "prepare", "begin", "-"][..]),
        ("libvirt-qemu", &["g1", "started", "begin", "-"]),
        ("libvirt-qemu", &["g1", "reconnect", "begin", "-"]),
        ("libvirt-qemu", &["g1", "stopped", "end", "-"]),
        ("libvirt-qemu", &["g1", "release", "end", "crashed"]),
        ("proxmox", &["100", "pre-start"]),
        ("proxmox", &["100", "post-start"]),
        ("proxmox", &["100", "pre-stop"]),
        ("proxmox", &["100", "post-stop"]),
    ] {
        assert_eq!(consents_to(sample(&spool, name, program, arguments), XML.as_bytes()), "");
        // Without the program, the guest starts nevertheless.
        consents(sample(&spool, name, Path::new("/none/vmcorectl"), arguments));
    }
    let found: Vec<_> =
        spool.events().iter().map(|event| format!("{} {:?}", event.guest, event.kind)).collect();
    assert_eq!(found, ["g1 Came", "g1 Came", "g1 PanicLost", "100 Came", "100 Went"]);
    assert!(spool.folder.with_file_name("run").is_dir());
}

#[test]
fn the_sample_service_spools_the_events_of_incus() {
    let spool = Spool::new();
    let bin = tempfile::tempdir().unwrap();
    let events = concat!(
        r#"{"type":"lifecycle","project":"default","metadata":{"action":"instance-started","source":"/1.0/instances/web"}}"#,
        "\n",
        r#"{"type":"lifecycle","project":"p1","metadata":{"action":"instance-stopped","source":"/1.0/instances/db?project=p1"}}"#,
        "\n",
        r#"{"type":"lifecycle","project":"default","metadata":{"action":"image-created","source":"/1.0/images/x"}}"#,
        "\n",
    );
    fs::write(bin.path().join("events"), events).unwrap();
    let incus = bin.path().join("incus");
    fs::write(&incus, "#!/bin/sh\ncat \"${0%/*}/events\"\n").unwrap();
    fs::set_permissions(&incus, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut hook = sample(&spool, "incus-events", Path::new(env!("CARGO_BIN_EXE_vmcorectl")), &[]);
    if !Command::new("jq").arg("--version").output().is_ok_and(|ran| ran.status.success()) {
        lacking("jq");
        return;
    }
    hook.env("PATH", format!("{}:/usr/bin:/bin", bin.path().display()));
    assert_eq!(consents(hook), "");
    let sockets: Vec<_> = spool.events().into_iter().filter_map(|event| event.socket).collect();
    let expected = ["/run/incus/web/vmcorectl.qmp", "/run/incus/p1_db/vmcorectl.qmp"];
    assert_eq!(sockets, expected.map(PathBuf::from));
}
