//! What `status` sees of guests, and that no guest notices.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::scripted_libvirt::procedure::LIST;
use crate::scripted_libvirt::{LibvirtScript, RUNNING, ScriptedLibvirt};
use crate::scripted_qemu::Script;
use crate::setting::Setting;
use crate::tool::{Ran, run};

/// No libvirt at all.
const NO_LIBVIRT: &str = "qemu:///system?socket=/none/libvirt-sock";

fn status(store: &Path, more: &[&str]) -> Ran {
    let mut arguments = vec!["status", "--store", store.to_str().unwrap()];
    if !more.contains(&"--connect") {
        arguments.extend(["--connect", NO_LIBVIRT]);
    }
    arguments.extend(more);
    run(arguments)
}

/// The lines that `--json` printed.
fn json(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_guest_is_shown_and_nothing_is_done_to_it() {
    let setting = Setting::new(Script::default());
    let socket = setting.qemu.socket();
    let socket = socket.to_str().unwrap();
    let ran = status(&setting.store, &[socket, "--json"]).expect(0);
    let guest = &json(&ran)[0];
    assert_eq!(guest["name"], "web-3");
    assert_eq!((&guest["state"], &guest["panicked"]), (&"guest-panicked".into(), &true.into()));
    assert_eq!(guest["panic_devices"], serde_json::json!(["pvpanic"]));
    assert_eq!(guest["vmcoreinfo"], true);
    assert_eq!(guest["monitor"]["state"], "free");
    assert_eq!((&guest["entries"], &guest["panicked_since"]), (&0.into(), &Value::Null));
    // The test is no QEMU, whose command line would say it.
    assert_eq!(guest["at_panic"], Value::Null);
    let table = status(&setting.store, &[socket]).expect(0).stdout;
    assert!(table.starts_with("GUEST") && table.contains("guest-panicked"), "{table}");
    assert_eq!(setting.qemu.actions(), [""; 0]);
    assert_eq!(run(["status", "/none"]).expect(1).stdout.lines().count(), 2);
}

#[test]
fn sockets_are_found_by_their_pattern() {
    let setting = Setting::new(Script { state: "running", devices: &[], ..Script::default() });
    let pattern = setting.qemu.socket().with_file_name("*");
    let ran = status(&setting.store, &["--sockets", pattern.to_str().unwrap(), "--json"]).expect(0);
    assert_eq!(json(&ran)[0]["guest"], setting.qemu.socket().to_str().unwrap());
    assert_eq!(json(&ran)[0]["panic_devices"], serde_json::json!([]));
    let none = status(&setting.store, &["--sockets", "/none/*.qmp"]).expect(0);
    assert_eq!(none.stdout, "");
}

#[test]
fn a_monitor_with_a_client_is_not_connected_to() {
    let setting = Setting::new(Script::default());
    let client = UnixStream::connect(setting.qemu.socket()).unwrap();
    setting.qemu.await_client();
    let socket = setting.qemu.socket();
    let ran = status(&setting.store, &[socket.to_str().unwrap(), "--json"]).expect(0);
    let monitor = &json(&ran)[0]["monitor"];
    assert_eq!(monitor["state"], "busy");
    assert_eq!(monitor["clients"][0]["process"], std::process::id());
    drop(client);
    setting.qemu.await_no_client();
    assert_eq!(setting.qemu.commands(), [""; 0]);
}

#[test]
fn a_monitor_that_stays_silent_is_busy() {
    let setting = Setting::new(Script { greets: false, ..Script::default() });
    let socket = setting.qemu.socket();
    let ran = status(&setting.store, &[socket.to_str().unwrap(), "--timeout", "200ms"]).expect(0);
    assert!(ran.stdout.contains("busy"), "{ran:?}");
}

#[test]
fn a_guest_that_a_capture_left_held_is_panicked_since_then() {
    let setting = Setting::new(Script::default());
    setting.capture(&[]).expect(0);
    let socket = setting.qemu.socket();
    let ran = status(&setting.store, &[socket.to_str().unwrap(), "--json"]).expect(0);
    let guest = &json(&ran)[0];
    assert_eq!(guest["entries"], 1);
    assert!(guest["panicked_since"].is_string() && guest["newest_entry"].is_string(), "{guest}");
    // Another panic, of which nothing is stored, would be after a release.
    setting.capture(&["--resume"]).expect(0);
    let ran = status(&setting.store, &[socket.to_str().unwrap(), "--json"]).expect(0);
    let guest = &json(&ran)[0];
    assert_eq!((&guest["entries"], &guest["panicked_since"]), (&2.into(), &Value::Null));
}

#[test]
fn the_domains_of_libvirt_are_shown() {
    let libvirt = ScriptedLibvirt::start(LibvirtScript::default());
    let folder = tempfile::tempdir().unwrap();
    let uri = libvirt.uri();
    let ran = status(folder.path(), &["--connect", &uri, "--sockets", "/none/*", "--json"]);
    let guest = &json(&ran.expect(0))[0];
    assert_eq!((&guest["guest"], &guest["name"]), (&"libvirt:web-3".into(), &"web-3".into()));
    assert_eq!((&guest["state"], &guest["panicked"]), (&"crashed (panicked)".into(), &true.into()));
    assert_eq!((&guest["at_panic"], &guest["held_at_panic"]), (&"preserve".into(), &true.into()));
    assert_eq!(guest["monitor"]["state"], "libvirt");
    assert_eq!(guest["libvirt_version"], "9.0.0");
    let by_name = status(folder.path(), &["--connect", &uri, "libvirt:web-3"]).expect(0);
    assert!(by_name.stdout.contains("crashed (panicked)"), "{by_name:?}");
    assert_eq!(libvirt.actions(), [0; 0]);
}

#[test]
fn a_libvirt_that_hangs_hides_no_other_guest() {
    let script = LibvirtScript {
        state: RUNNING,
        silent: BTreeSet::from([LIST]),
        ..LibvirtScript::default()
    };
    let libvirt = ScriptedLibvirt::start(script);
    let setting = Setting::new(Script::default());
    let pattern = setting.qemu.socket().with_file_name("*");
    let ran = status(
        &setting.store,
        &[
            "--connect",
            &libvirt.uri(),
            "--sockets",
            pattern.to_str().unwrap(),
            "--timeout",
            "300ms",
        ],
    );
    let ran = ran.expect(1).says("libvirt's domains are not shown");
    assert!(ran.stdout.contains("guest-panicked"), "{ran:?}");
}
