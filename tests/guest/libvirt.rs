//! Guests of a real libvirt, by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use vmcorectl::metadata::{ReleasedBy, SourceUsed};

use crate::domain::{Domain, GUEST, NAME};
use crate::same_memory::{assert_same_at, unpack_to};
use crate::tool::{self, Ran, listing, metadata_of, run, start};

const PANICKED: &str = "crashed (panicked)";

fn capture(domain: &Domain, more: &[&str]) -> Ran {
    tool::finish(start_capture(domain, more))
}

fn start_capture(domain: &Domain, more: &[&str]) -> Child {
    let (uri, store) = (domain.uri(), domain.store());
    let arguments = ["capture", GUEST, "--connect", &uri, "--store", &store];
    start(arguments.into_iter().chain(more.iter().copied()))
}

/// The same with other numbers of processes than libvirt's, so that a named pipe is the way.
fn start_elsewhere(domain: &Domain, more: &[&str]) -> Child {
    let (uri, store) = (domain.uri(), domain.store());
    Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_vmcorectl")])
        .args(["capture", GUEST, "--connect", &uri, "--store", &store])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare starts")
}

fn report(arguments: &[&str]) -> Value {
    let arguments = ["report", "--json"].into_iter().chain(arguments.iter().copied());
    serde_json::from_str(&run(arguments).expect(0).stdout).expect("JSON")
}

#[track_caller]
fn assert_same(domain: &Domain, entry: &Path, theirs: &Path) {
    assert_same_at(&domain.space("unpacked.elf"), &entry.join("vmcore.elf.zst"), theirs);
}

#[test]
fn a_domain_is_captured_and_reported_as_it_is() {
    let mut domain = Domain::panicked("null");
    let by_libvirt = domain.dump_by_libvirt();
    let uri = domain.uri();
    let held = report(&[GUEST, "--connect", &uri]);
    assert_eq!(domain.state(), PANICKED);
    assert!(!domain.space("store").exists(), "nothing is written");

    let ran = capture(&domain, &[]).expect(0);
    assert_eq!(ran.complaints(), "");
    assert_eq!(domain.state(), PANICKED);
    let entry = ran.entry();
    assert_same(&domain, &entry, &by_libvirt);
    let metadata = metadata_of(&entry);
    let libvirt = metadata.guest.libvirt.expect("a libvirt");
    assert_eq!((libvirt.uri, libvirt.on_crash.as_str()), (uri.clone(), "preserve"));
    assert_eq!(metadata.guest.memory_bytes, Some(256 << 20));
    assert_eq!(
        (metadata.guest.cpus, metadata.guest.accelerator.as_deref()),
        (Some(2), Some("other"))
    );

    // The sentences about the guest as it stands differ from those about a file.
    let stored = report(&[entry.to_str().unwrap()]);
    assert_eq!(held["title"], "BUG: unable to handle kernel NULL pointer dereference in by_null");
    let parts = ["title", "signature", "function", "module", "kernel", "panicked", "cpus"];
    for part in parts.into_iter().chain(["blocked", "modules", "memory", "log", "other_events"]) {
        assert!(!stored[part].is_null(), "{part}");
        assert_eq!(held[part], stored[part], "{part}");
    }

    // Its own dump by QEMU's socket would end this libvirt, unless that is of a newer version.
    let version: Vec<u32> = libvirt.version.split('.').map(|part| part.parse().unwrap()).collect();
    if version < vec![11, 3, 0] {
        let socket = domain.second_monitor();
        for command in ["capture", "report"] {
            let ran = run([command, &socket, "--connect", &uri]).expect(1);
            ran.says("this has to be libvirt:web-3");
        }
    }
    domain.libvirt_answers();

    // The hold ends before the dump does.
    let slow = ["--level", "19", "--threads", "1", "--max-hold", "100ms", "--then", "resume"];
    let ran = capture(&domain, &slow);
    assert!(matches!(ran.code, Some(3 | 6)), "{ran:?}");
    domain.await_console("Rebooting in 5 seconds", 1);
    domain.libvirt_answers();
}

#[test]
fn a_domain_is_read_in_its_qemu_if_that_may_taint_it() {
    let mut domain = Domain::panicked("sysrq");
    let by_libvirt = domain.dump_by_libvirt();
    let taints =
        |domain: &Domain| domain.virsh(&["dominfo", NAME]).contains("custom monitor control");

    let ran = capture(&domain, &[]).expect(0);
    let source = metadata_of(&ran.entry()).source.expect("a source");
    assert_eq!(source.used, SourceUsed::Stream);
    assert!(source.reason.is_some_and(|reason| reason.contains("tainted")));
    let whole = ran.entry();

    let ran = capture(&domain, &["--pages", "kernel"]).expect(0);
    let kernel = ran.entry();
    let source = metadata_of(&kernel).source.expect("a source");
    assert_eq!(source.used, SourceUsed::Ranges, "{source:?}");
    let exported = domain.space("kernel.elf");
    let core = |entry: &Path| entry.join("vmcore.elf.zst");
    let arguments =
        ["export", core(&whole).to_str().unwrap(), "--pages", "kernel", "-o"].map(str::to_owned);
    run(arguments.into_iter().chain([exported.to_str().unwrap().to_owned()])).expect(0);
    let read = unpack_to(domain.space("ranges.elf"), &core(&kernel));
    assert!(fs::read(read).unwrap() == fs::read(exported).unwrap(), "other bytes");
    assert!(!taints(&domain));

    let ran = capture(&domain, &["--source", "direct"]).expect(0);
    assert_eq!(ran.complaints(), "");
    let entry = ran.entry();
    let source = metadata_of(&entry).source.expect("a source");
    assert_eq!((source.used, source.reason), (SourceUsed::Direct, None));
    assert_same(&domain, &entry, &by_libvirt);
    assert!(taints(&domain));
    assert_eq!(domain.state(), PANICKED);
    domain.libvirt_answers();
    assert!(!domain.has_named_pipe());
}

#[test]
fn a_domain_is_released_in_each_way_also_by_a_late_starter() {
    let mut domain = Domain::boot("sysrq", "preserve");
    // It panics while no libvirt is there.
    domain.end_libvirt(Signal::TERM);
    domain.await_console("Kernel panic", 1);
    domain.start_libvirt();
    domain.await_state(PANICKED);
    let by_libvirt = domain.dump_by_libvirt();
    let entry = capture(&domain, &["--reset"]).expect(0).entry();
    assert_same(&domain, &entry, &by_libvirt);
    let release = metadata_of(&entry).release.unwrap();
    assert_eq!((release.action.as_str(), release.by), ("reset", Some(ReleasedBy::Vmcorectl)));
    assert_eq!(release.state_after.as_deref(), Some("running"));

    // It panics anew, and is awaited.
    let ran = capture(&domain, &["--wait", "--resume"]).expect(0);
    assert_eq!(ran.complaints(), "");
    let metadata = metadata_of(&ran.entry());
    assert_eq!(metadata.panic.unwrap().events, 1);
    assert_eq!(metadata.release.unwrap().state_after.as_deref(), Some("running"));
    // Resumed, it obeys its own panic timeout.
    domain.await_console("Rebooting in 5 seconds", 1);

    let ran = capture(&domain, &["--wait", "--then", "quit"]).expect(0);
    assert_eq!(ran.complaints(), "");
    assert_eq!(domain.state(), "shut off (destroyed)");
    assert_eq!(listing(&PathBuf::from(domain.store())).entries.len(), 3);
    domain.libvirt_answers();
    assert!(!domain.has_named_pipe());
}

#[test]
fn who_dies_during_a_dump_does_not_harm_the_other() {
    let mut domain = Domain::panicked("sysrq");
    let by_libvirt = domain.dump_by_libvirt();
    let slow = ["--level", "19", "--threads", "1", "--then", "resume"];
    for by_named_pipe in [false, true] {
        let run = |more: &[&str]| match by_named_pipe {
            true => start_elsewhere(&domain, more),
            false => start_capture(&domain, more),
        };
        let mut killed = run(&slow);
        domain.await_job();
        killed.kill().unwrap();
        killed.wait().unwrap();
        domain.await_no_job();
        assert_eq!(domain.state(), PANICKED);
        let entry = tool::finish(run(&[])).expect(0).entry();
        assert_same(&domain, &entry, &by_libvirt);
        assert!(!domain.has_named_pipe());
    }
    domain.libvirt_answers();

    // Started again at once, it dumps anew.
    let child = start_capture(&domain, &["--level", "19", "--threads", "1", "--timeout", "120s"]);
    domain.await_job();
    domain.end_libvirt(Signal::KILL);
    domain.start_libvirt();
    let ran = tool::finish(child).expect(0).says("is back: the guest is dumped anew");
    assert_eq!(domain.state(), PANICKED, "{ran:?}");
    assert_same(&domain, &ran.entry(), &by_libvirt);
    domain.libvirt_answers();

    // Not started again in time, it leaves the guest held.
    let child = start_capture(&domain, &[&slow[..], &["--timeout", "2s"]].concat());
    domain.await_job();
    domain.end_libvirt(Signal::KILL);
    let ran = tool::finish(child);
    assert!(matches!(ran.code, Some(1 | 3 | 5)), "{ran:?}");
    domain.start_libvirt();
    domain.await_state(PANICKED);
    // What it had begun ends with its reader.
    let ran = capture(&domain, &["--timeout", "120s"]).expect(0);
    assert_same(&domain, &ran.entry(), &by_libvirt);
    domain.libvirt_answers();
}

#[test]
fn a_libvirt_that_wants_a_password_gets_it() {
    if !Path::new("/usr/sbin/saslpasswd2").exists() {
        eprintln!("left out: saslpasswd2 of sasl2-bin is missing, which tests/run --full installs");
        return;
    }
    let mut domain = Domain::panicked("sysrq");
    let by_libvirt = domain.dump_by_libvirt();
    let uri = domain.uri();
    domain.guard_libvirt();
    domain.await_state(PANICKED);
    run(["status", GUEST, "--connect", &uri]).expect(1).says("wants a user and a password");
    let entry = capture(&domain, &["--resume"]).expect(0).entry();
    assert_same(&domain, &entry, &by_libvirt);
    domain.await_state("running");
    domain.libvirt_answers();
}
