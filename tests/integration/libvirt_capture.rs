//! Captures of `libvirt:NAME` against a scripted libvirtd.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::Signal;
use tempfile::TempDir;
use vmcorectl::metadata::{Metadata, ReleasedBy};

use crate::core_stream::MIB;
use crate::lacking::lacking;
use crate::scripted_libvirt::procedure::{
    BY_NAME, DESTROY, DUMP, JOB_INFO, LIFECYCLE_ACTION, REGISTER, RESET as RESET_CALL, RESUME,
    STATE, SUSPEND, XML,
};
use crate::scripted_libvirt::{
    LibvirtDump, LibvirtScript, PANICKED, RESET, RUNNING, SHUT_OFF, ScriptedLibvirt,
};
use crate::scripted_qemu::{Script, ScriptedQemu};
use crate::setting::{check_whole, finish, signal};
use crate::tool::{self, Listing, Ran, metadata_of};

/// A domain, and the store that its cores go to.
struct Domain {
    libvirt: ScriptedLibvirt,
    folder: TempDir,
}

impl Domain {
    fn new(script: LibvirtScript) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { libvirt: ScriptedLibvirt::start(script), folder }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn start(&self, more: &[&str]) -> Child {
        let (uri, store) = (self.libvirt.uri(), self.store().display().to_string());
        let mut arguments = vec!["capture", "libvirt:web-3", "--connect", &uri, "--store", &store];
        arguments.extend(["--keep-free", "0"]);
        arguments.extend(more);
        tool::start(arguments)
    }

    fn capture(&self, more: &[&str]) -> Ran {
        finish(self.start(more))
    }

    #[track_caller]
    fn whole_entry(&self) -> Metadata {
        let listing = tool::listing(&self.store());
        assert_eq!((listing.entries.len(), listing.incomplete.len()), (1, 0), "{listing:?}");
        check_whole(&listing.entries[0], &LibvirtScript::default().stream)
    }

    #[track_caller]
    fn nothing_is_stored(&self) {
        assert_eq!(tool::listing(&self.store()), Listing::default());
    }
}

fn dumping(dump: LibvirtDump) -> LibvirtScript {
    LibvirtScript { dump, ..LibvirtScript::default() }
}

fn released(metadata: &Metadata) -> (&str, bool, Option<&str>) {
    let release = metadata.release.as_ref().expect("a release");
    (release.action.as_str(), release.done, release.state_after.as_deref())
}

#[test]
fn a_domain_is_captured_and_left_as_it_was() {
    let domain = Domain::new(LibvirtScript::default());
    assert_eq!(domain.capture(&[]).expect(0).complaints(), "");
    let metadata = domain.whole_entry();
    assert_eq!(metadata.guest.monitor, "libvirt:web-3");
    assert_eq!(metadata.guest.name.as_deref(), Some("web-3"));
    assert_eq!(metadata.guest.uuid.as_deref(), Some("c0ffee00-0000-4000-8000-000000000003"));
    assert_eq!((metadata.guest.cpus, metadata.guest.qemu_version.clone()), (Some(2), None));
    let libvirt = metadata.guest.libvirt.as_ref().expect("a libvirt");
    assert_eq!((libvirt.version.as_str(), libvirt.on_crash.as_str()), ("9.0.0", "preserve"));
    assert_eq!(released(&metadata), ("hold", true, Some("guest-panicked")));
    assert_eq!(domain.libvirt.actions(), [DUMP]);
    assert_eq!(domain.libvirt.state(), PANICKED);
    // No file of ours but the store.
    let paths = domain.libvirt.paths();
    assert!(paths.iter().all(|path| path.starts_with("/proc/")), "{paths:?}");
}

#[test]
fn a_domain_is_released_by_libvirts_calls() {
    for (action, calls, state, after) in [
        ("resume", &[DUMP, RESUME][..], RUNNING, Some("running")),
        ("reset", &[DUMP, RESET_CALL, RESUME], RUNNING, Some("running")),
        ("quit", &[DUMP, DESTROY], SHUT_OFF, None),
    ] {
        let domain =
            Domain::new(LibvirtScript { in_pieces: true, events: 2, ..LibvirtScript::default() });
        assert_eq!(domain.capture(&["--then", action]).expect(0).complaints(), "");
        let metadata = domain.whole_entry();
        assert_eq!(released(&metadata), (action, true, after));
        let release = metadata.release.as_ref().expect("a release");
        assert_eq!(release.by, Some(ReleasedBy::Vmcorectl));
        assert_eq!(domain.libvirt.actions(), calls);
        assert_eq!(domain.libvirt.state(), state);
        assert!(metadata.held_seconds.is_some());
    }
}

#[test]
fn where_libvirt_cannot_open_our_pipe_a_named_one_takes_its_place() {
    for events in [0, 2] {
        let script = LibvirtScript { no_proc: true, events, ..LibvirtScript::default() };
        let domain = Domain::new(script);
        assert_eq!(domain.capture(&["--resume"]).expect(0).complaints(), "");
        domain.whole_entry();
        let paths = domain.libvirt.paths();
        assert_eq!(paths.len(), 2, "{paths:?}");
        nothing_is_left(&paths);
    }
}

/// Checks that no named pipe and no folder of one is there.
#[track_caller]
fn nothing_is_left(paths: &[String]) {
    for path in paths.iter().filter(|path| !path.starts_with("/proc/")) {
        assert!(!Path::new(path).parent().expect("a folder").exists(), "{path}");
    }
}

#[test]
fn a_dump_that_fails_leaves_the_guest_or_releases_it_as_asked() {
    for no_proc in [false, true] {
        let script = LibvirtScript { no_proc, ..dumping(LibvirtDump::Fails(3 * MIB)) };
        let domain = Domain::new(script.clone());
        domain
            .capture(&["--then", "resume"])
            .expect(1)
            .says("libvirt's dump failed: internal error");
        domain.nothing_is_stored();
        assert_eq!(domain.libvirt.state(), PANICKED);
        let domain = Domain::new(script);
        domain.capture(&["--then", "resume", "--on-failure", "resume"]).expect(6);
        assert_eq!(domain.libvirt.state(), RUNNING);
        nothing_is_left(&domain.libvirt.paths());
    }
}

#[test]
fn a_dump_that_is_refused_is_an_error_and_does_not_hang() {
    const DENIED: &str = "operation forbidden: read only access prevents virDomainCoreDump";
    for code in [29, 38, 55, 68] {
        let domain = Domain::new(LibvirtScript::failing(DUMP, code, DENIED));
        domain.capture(&["--then", "resume"]).expect(1).says(DENIED);
        domain.nothing_is_stored();
        assert_eq!(domain.libvirt.state(), PANICKED);
    }
}

#[test]
fn a_short_dump_is_no_core() {
    let domain = Domain::new(dumping(LibvirtDump::Short(3 * MIB)));
    domain.capture(&["--then", "resume"]).expect(1);
    domain.nothing_is_stored();
    assert_eq!(domain.libvirt.state(), PANICKED);
}

#[test]
fn a_hold_ends_by_closing_the_pipe_and_then_the_guest_is_released() {
    for (no_proc, sent) in [(false, 3 * MIB), (false, 4096), (true, 3 * MIB), (true, 4096)] {
        let script = LibvirtScript { no_proc, ..dumping(LibvirtDump::Stalls(sent)) };
        let domain = Domain::new(script);
        let arguments = ["--max-hold", "500ms", "--then", "resume", "--timeout", "60s"];
        let ran = domain.capture(&arguments);
        assert!(matches!(ran.code, Some(3 | 6)), "{ran:?}");
        assert_eq!(domain.libvirt.state(), RUNNING, "{no_proc} {sent} {ran:?}");
        domain.libvirt.await_no_dump();
        nothing_is_left(&domain.libvirt.paths());
    }
}

#[test]
fn a_capture_that_is_killed_leaves_libvirt_free() {
    for no_proc in [false, true] {
        let script = LibvirtScript { no_proc, ..dumping(LibvirtDump::Stalls(3 * MIB)) };
        let domain = Domain::new(script);
        let child = domain.start(&["--then", "resume"]);
        domain.libvirt.await_stall();
        signal(&child, Signal::KILL);
        finish(child);
        domain.libvirt.await_no_dump();
        assert_eq!(domain.libvirt.state(), PANICKED);
        nothing_is_left(&domain.libvirt.paths());
    }
}

#[test]
fn a_libvirt_that_dies_during_the_dump_leaves_the_guest_held() {
    let domain = Domain::new(dumping(LibvirtDump::DaemonDies(3 * MIB)));
    domain
        .capture(&["--then", "hold", "--timeout", "1s"])
        .expect(5)
        .says("libvirt closed its socket")
        .says("nothing was done to the guest");
    assert_eq!(domain.libvirt.actions(), [DUMP]);
}

#[test]
fn a_guest_is_dumped_anew_by_a_libvirt_that_is_started_again() {
    let domain = Domain::new(dumping(LibvirtDump::DaemonRestarts(3 * MIB, PANICKED)));
    let again = "is back: the guest is dumped anew";
    domain.capture(&["--then", "resume"]).expect(0).says(again);
    assert_eq!(domain.libvirt.actions(), [DUMP, DUMP, RESUME]);
    assert_eq!(domain.libvirt.state(), RUNNING);
    domain.whole_entry();

    // Another client had time for the guest in between.
    let domain = Domain::new(dumping(LibvirtDump::DaemonRestarts(3 * MIB, RUNNING)));
    let ran = domain.capture(&["--then", "quit"]);
    assert_eq!(domain.libvirt.actions(), [DUMP], "{ran:?}");
    assert_eq!((ran.code, domain.libvirt.state()), (Some(3), RUNNING), "{ran:?}");
}

#[test]
fn a_dump_without_a_reply_is_not_called_whole() {
    let domain = Domain::new(dumping(LibvirtDump::NoReply));
    domain.capture(&["--then", "resume", "--timeout", "1s"]).expect(1).says("did not confirm");
    assert_eq!(domain.libvirt.state(), PANICKED);
}

#[test]
fn a_guest_that_another_client_reset_is_not_released() {
    let domain = Domain::new(dumping(LibvirtDump::ResetAfter));
    domain.capture(&["--then", "quit"]).expect(3).says("the guest changed during its dump");
    assert_eq!(domain.libvirt.state(), RESET);
    assert_eq!(domain.libvirt.actions(), [DUMP]);
}

#[test]
fn a_guest_that_another_client_destroyed_is_gone() {
    let domain = Domain::new(dumping(LibvirtDump::Stalls(3 * MIB)));
    let capture = domain.start(&["--then", "resume"]);
    domain.libvirt.await_stall();
    domain.libvirt.change(SHUT_OFF, 5);
    finish(capture).expect(3).says("the guest had ended before it was released");
    assert_eq!(domain.libvirt.actions(), [DUMP]);
}

#[test]
fn a_guest_that_another_client_resumed_is_not_stopped_for_a_dump() {
    for more in [&["--then", "resume"][..], &["--then", "resume", "--report-only"]] {
        let script = LibvirtScript { resumed_at: Some(JOB_INFO), ..LibvirtScript::default() };
        let domain = Domain::new(script);
        let ran = domain.capture(more);
        assert!(ran.stderr.contains("another client resumed it"), "{more:?} {ran:?}");
        assert!(domain.libvirt.actions().is_empty(), "{more:?} {:?}", domain.libvirt.actions());
        assert_eq!(domain.libvirt.state(), RUNNING);
    }
}

#[test]
fn a_guest_that_does_not_panic_is_no_capture() {
    let running = LibvirtScript { state: RUNNING, ..LibvirtScript::default() };
    let domain = Domain::new(running.clone());
    domain.capture(&["--resume"]).expect(4).says("its state is \"running\"");
    assert!(domain.libvirt.actions().is_empty());
    let domain = Domain::new(running);
    domain.capture(&["--any-state"]).expect(0);
    assert_eq!(domain.libvirt.actions(), [SUSPEND, DUMP, RESUME]);
    let off = Domain::new(LibvirtScript { state: SHUT_OFF, ..LibvirtScript::default() });
    off.capture(&["--resume"]).expect(1).says("shut off (destroyed)");
}

#[test]
fn a_wait_sees_the_panic_and_says_what_on_crash_does() {
    for (on_crash, option, warned) in [
        ("preserve", None, false),
        ("destroy", None, true),
        ("destroy", Some("--preserve-on-crash"), false),
    ] {
        let script = LibvirtScript { state: RUNNING, on_crash, ..LibvirtScript::default() };
        let domain = Domain::new(script);
        let mut arguments = vec!["--wait", "--resume"];
        arguments.extend(option);
        let child = domain.start(&arguments);
        domain.libvirt.await_answers(STATE, 1);
        domain.libvirt.panic_guest();
        let ran = finish(child).expect(0);
        assert_eq!(ran.stderr.contains("on_crash is destroy"), warned, "{}", ran.stderr);
        let metadata = domain.whole_entry();
        assert_eq!(metadata.panic.as_ref().map(|panic| panic.events), Some(1));
        let set = domain.libvirt.actions().contains(&LIFECYCLE_ACTION);
        assert_eq!(set, option.is_some());
        assert_eq!(domain.libvirt.state(), RUNNING);
    }
}

#[test]
fn a_guest_that_ends_while_it_is_awaited_ends_the_wait() {
    let domain = Domain::new(LibvirtScript { state: RUNNING, ..LibvirtScript::default() });
    let child = domain.start(&["--wait", "--resume"]);
    domain.libvirt.await_answers(STATE, 1);
    domain.libvirt.change(SHUT_OFF, 5);
    finish(child).expect(4);
}

#[test]
fn an_error_at_each_call_is_reported_and_nothing_is_done_to_the_guest() {
    for procedure in [REGISTER, BY_NAME, XML, STATE] {
        let domain = Domain::new(LibvirtScript::failing(procedure, 1, "internal error: no luck"));
        domain.capture(&["--then", "quit"]).expect(1).says("internal error: no luck");
        assert!(domain.libvirt.actions().is_empty());
    }
    let silent = BTreeSet::from([STATE]);
    let domain = Domain::new(LibvirtScript { silent, ..LibvirtScript::default() });
    domain.capture(&["--then", "quit", "--timeout", "300ms"]).expect(1).says("did not answer");
    assert!(domain.libvirt.actions().is_empty());
    let fail = BTreeMap::from([(RESUME, (55, "Requested operation is not valid"))]);
    let domain = Domain::new(LibvirtScript { fail, ..LibvirtScript::default() });
    domain.capture(&["--resume"]).expect(5).says("Requested operation is not valid");
    domain.whole_entry();
}

#[test]
fn a_domain_that_is_not_there_is_said_with_the_way_to_find_it() {
    let domain = Domain::new(LibvirtScript { name: "db", ..LibvirtScript::default() });
    domain.capture(&[]).expect(1).says("Domain not found").says("virsh list --all");
}

#[test]
fn the_report_of_a_held_domain_is_made_of_its_head_and_of_peeks() {
    let domain = Domain::new(LibvirtScript::default());
    let uri = domain.libvirt.uri();
    let ran = tool::run(["report", "libvirt:web-3", "--connect", &uri, "--json"]).expect(0);
    assert!(ran.stdout.contains("guest panicked"), "{}", ran.stdout);
    assert_eq!(domain.libvirt.actions(), [DUMP]);
    assert_eq!(domain.libvirt.state(), PANICKED);
    let running = Domain::new(LibvirtScript { state: RUNNING, ..LibvirtScript::default() });
    let uri = running.libvirt.uri();
    tool::run(["report", "libvirt:web-3", "--connect", &uri])
        .expect(1)
        .says("the guest is not held");
}

#[test]
fn a_socket_of_libvirts_is_refused_unless_that_survives_a_dump() {
    let qemu = ScriptedQemu::start(Script::default());
    // As libvirt has it.
    let folder = tempfile::Builder::new().prefix("q").tempdir_in("/tmp").expect("a folder");
    let own = folder.path().join("domain-1-web-3");
    std::fs::create_dir(&own).expect("a folder");
    let socket = own.join("monitor.sock");
    std::os::unix::fs::symlink(qemu.socket(), &socket).expect("a link");
    let socket = socket.display().to_string();
    for (version, works) in [(9_000_000, false), (11_002_999, false), (11_003_000, true)] {
        let domain = Domain::new(LibvirtScript { version, ..LibvirtScript::default() });
        let (uri, store) = (domain.libvirt.uri(), domain.store().display().to_string());
        let arguments = ["capture", &socket, "--connect", &uri, "--store", &store];
        let ran = tool::run(arguments.into_iter().chain(["--keep-free", "0"]));
        if works {
            let entry = ran.expect(0).entry();
            assert_eq!(metadata_of(&entry).guest.name.as_deref(), Some("web-3"));
        } else {
            ran.expect(1).says("this has to be libvirt:web-3");
            tool::run(["report", &socket, "--connect", &uri]).expect(1).says("libvirt:web-3");
        }
    }
    let nowhere = format!("qemu:///system?socket={}", folder.path().join("none").display());
    tool::run(["capture", &socket, "--connect", &nowhere]).expect(1).says("could not be found out");
    assert_eq!(qemu.actions(), ["dump-guest-memory"]);
}

/// From another namespace of processes, the system does not show whose QEMU it is.
#[test]
fn a_qemu_of_libvirt_without_a_process_is_recognised_by_its_uuid() {
    let qemu = ScriptedQemu::start(Script::default());
    for (version, code) in [(9_000_000, 1), (11_003_000, 0)] {
        let domain = Domain::new(LibvirtScript { version, ..LibvirtScript::default() });
        let (uri, store) = (domain.libvirt.uri(), domain.store().display().to_string());
        let socket = qemu.socket().display().to_string();
        let program = tool::command([
            "capture",
            &socket,
            "--connect",
            &uri,
            "--store",
            &store,
            "--keep-free",
            "0",
        ]);
        let mut inside = Command::new("unshare");
        inside.args(["--pid", "--fork"]).arg(program.get_program()).args(program.get_args());
        let ran = Ran::from(inside.output().expect("unshare starts"));
        if ran.stderr.starts_with("unshare: ") {
            return lacking("the right to make namespaces");
        }
        let ran = ran.expect(code);
        assert_eq!(ran.stderr.contains("this has to be libvirt:web-3"), code == 1, "{ran:?}");
    }
    assert_eq!(qemu.actions(), ["dump-guest-memory"]);
}
