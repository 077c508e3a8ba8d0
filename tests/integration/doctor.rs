//! What `doctor` finds, each with what mends it, and that it changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::scripted_libvirt::procedure::{DUMP, XML};
use crate::scripted_libvirt::{LibvirtScript, PANICKED, RUNNING, ScriptedLibvirt};
use crate::scripted_qemu::Script;
use crate::setting::Setting;
use crate::tmpfs::Tmpfs;
use crate::tool::{Ran, run};

const NO_LIBVIRT: &str = "qemu:///system?socket=/none/libvirt-sock";

/// A guest in which nothing is wrong.
fn well() -> Script {
    Script { state: "running", ..Script::default() }
}

fn doctor(setting: &Setting, more: &[&str]) -> Ran {
    let socket = setting.qemu.socket();
    let store = setting.store.to_str().unwrap();
    let mut arguments = vec!["doctor", socket.to_str().unwrap(), "--store", store];
    arguments.extend(["--keep-free", "0", "--no-measure", "--connect", NO_LIBVIRT]);
    arguments.extend(more);
    run(arguments)
}

/// The severity and the mend of a finding, by what was looked at.
fn findings(ran: &Ran) -> BTreeMap<String, (String, String)> {
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    let of_guest = found["guests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|guest| guest["findings"].as_array().unwrap());
    let all = found["host"].as_array().unwrap().iter().chain(of_guest);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|finding| {
        (text(&finding["check"]), (text(&finding["severity"]), text(&finding["mend"])))
    })
    .collect()
}

#[test]
fn a_guest_that_is_well_has_no_problem_and_notices_nothing() {
    let setting = Setting::new(well());
    let ran = doctor(&setting, &["--json"]).expect(0);
    let found = findings(&ran);
    for check in ["store", "monitor", "state", "panic-device", "vmcoreinfo", "space"] {
        assert_eq!(found[check].0, "good", "{check}: {found:#?}");
    }
    // The guest runs, and the test's command line is none of QEMU.
    assert_eq!((found["kernel"].0.as_str(), found["at-panic"].0.as_str()), ("note", "note"));
    assert_eq!(setting.qemu.actions(), [""; 0]);
    assert!(!setting.store.exists());
    let text = doctor(&setting, &[]).expect(0).stdout;
    assert!(text.starts_with("host\n") && text.contains("good     panic device"), "{text}");
}

#[test]
fn each_fault_of_a_guest_is_found_with_what_mends_it() {
    let huge = 1 << 50;
    for (script, check, severity, mend) in [
        (
            Script { devices: &["vmcoreinfo"], ..well() },
            "panic-device",
            "problem",
            "-device pvpanic",
        ),
        (Script { devices: &["pvpanic"], ..well() }, "vmcoreinfo", "warning", "-device vmcoreinfo"),
        (Script { encrypted: true, ..well() }, "encryption", "problem", "kdump"),
        (
            Script { memory_bytes: Some(huge), ..well() },
            "space",
            "problem",
            "prune --min-free 178956971M",
        ),
        (Script::default(), "state", "problem", "vmcorectl capture"),
        (Script { greets: false, ..well() }, "monitor", "problem", "-qmp unix:"),
    ] {
        let setting = Setting::new(script);
        let code = if severity == "problem" { 3 } else { 0 };
        let ran = doctor(&setting, &["--json", "--timeout", "500ms"]).expect(code);
        let found = &findings(&ran)[check];
        assert_eq!(found.0, severity, "{check}: {ran:#?}");
        assert!(found.1.contains(mend), "{check}: {found:?}");
        let is_action = |name: &String| name != "dump-guest-memory";
        assert!(!setting.qemu.actions().iter().any(is_action), "{:?}", setting.qemu.actions());
    }
}

#[test]
fn a_monitor_with_a_client_is_a_problem_and_left_alone() {
    let setting = Setting::new(well());
    let _client = UnixStream::connect(setting.qemu.socket()).unwrap();
    setting.qemu.await_client();
    let ran = doctor(&setting, &[]).expect(3);
    let expected = format!("({})", std::process::id());
    assert!(ran.stdout.contains(&expected) && ran.stdout.contains("another client"), "{ran:?}");
    assert_eq!(setting.qemu.commands(), [""; 0]);
}

#[test]
fn a_guest_that_cannot_be_asked_is_no_guest_that_is_well() {
    let setting = Setting::new(well());
    setting.qemu.kill();
    let ran = doctor(&setting, &["--json"]).expect(1);
    assert_eq!(findings(&ran)["monitor"].0, "problem");
}

#[test]
fn a_store_that_cannot_be_written_is_found() {
    let Some(disk) = Tmpfs::of_size(1 << 20) else { return };
    disk.make_read_only();
    let setting = Setting::with_store(well(), &disk.path().join("s"));
    let ran = doctor(&setting, &["--json"]).expect(3);
    let (severity, mend) = &findings(&ran)["store"];
    assert!(severity == "problem" && mend.contains("--store"), "{ran:?}");
}

#[test]
fn the_store_and_the_sockets_of_the_configuration_are_looked_at() {
    let setting = Setting::new(well());
    let folder = tempfile::tempdir().unwrap();
    let (file, store) = (folder.path().join("c.toml"), folder.path().join("other"));
    let pattern = setting.qemu.socket().with_file_name("*");
    let text = format!("store = {store:?}\n[[sockets]]\npaths = [{pattern:?}]\n",);
    fs::write(&file, text).unwrap();
    let ran = run([
        "doctor",
        "--no-measure",
        "--keep-free",
        "0",
        "--connect",
        NO_LIBVIRT,
        "--json",
        "--config",
        file.to_str().unwrap(),
    ]);
    assert!(ran.stdout.contains(&store.display().to_string()), "{ran:?}");
    assert!(ran.stdout.contains(setting.qemu.socket().to_str().unwrap()), "{ran:?}");
}

#[test]
fn the_speed_of_this_host_is_measured_and_the_hold_estimated() {
    let setting = Setting::new(well());
    let ran = run([
        "doctor".as_ref(),
        setting.qemu.socket().as_os_str(),
        "--json".as_ref(),
        "--connect".as_ref(),
        NO_LIBVIRT.as_ref(),
        "--store".as_ref(),
        setting.store.as_os_str(),
    ]);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    // The disk that tests run on may be nearly full.
    let is_measured = found["speed"]["bytes_per_second"].as_f64().is_some_and(|speed| speed > 0.0);
    assert!(is_measured || ran.stdout.contains("not measured"), "{ran:?}");
    assert_eq!(found["guests"][0]["hold_seconds"].is_f64(), is_measured);
    assert!(!setting.store.exists());
}

#[test]
fn a_domain_that_is_not_held_at_a_panic_is_a_problem() {
    let script = LibvirtScript { state: RUNNING, on_crash: "destroy", ..LibvirtScript::default() };
    let libvirt = ScriptedLibvirt::start(script);
    let folder = tempfile::tempdir().unwrap();
    let uri = libvirt.uri();
    let store = folder.path().join("s");
    let arguments = [
        "doctor",
        "libvirt:web-3",
        "--no-measure",
        "--keep-free",
        "0",
        "--json",
        "--connect",
        &uri,
        "--store",
        store.to_str().unwrap(),
    ];
    let found = findings(&run(arguments).expect(3));
    assert_eq!(found["at-panic"].0, "problem");
    assert_eq!(
        found["at-panic"].1,
        "virsh set-lifecycle-action web-3 crash preserve --live --config"
    );
    // libvirt 9.0: a second socket ends it.
    assert_eq!(found["libvirt"].0, "note");
    assert_eq!(libvirt.actions(), [0; 0]);
}

/// Runs doctor for the domain of a scripted libvirt, with a store that is empty.
fn of_domain(libvirt: &ScriptedLibvirt) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let (uri, store) = (libvirt.uri(), folder.path().join("s"));
    run([
        "doctor",
        "libvirt:web-3",
        "--no-measure",
        "--keep-free",
        "0",
        "--json",
        "--connect",
        &uri,
        "--store",
        store.to_str().unwrap(),
    ])
}

#[test]
fn a_panicked_domain_is_read_and_stays_as_it_is() {
    let libvirt = ScriptedLibvirt::start(LibvirtScript::default());
    let ran = of_domain(&libvirt).expect(3);
    let found = findings(&ran);
    assert_eq!(
        found["state"],
        ("problem".into(), "vmcorectl capture libvirt:web-3 --then reset".into())
    );
    // A report is made of it; the scripted guest has no kernel.
    assert!(found["kernel"].0 == "warning" && ran.stdout.contains("kernel"), "{ran:?}");
    assert!(libvirt.actions().iter().all(|action| *action == DUMP), "{:?}", libvirt.actions());
    assert_eq!(libvirt.state(), PANICKED);
}

#[test]
fn a_domain_whose_description_cannot_be_read_is_a_problem() {
    let libvirt = ScriptedLibvirt::start(LibvirtScript::failing(XML, 42, "no domain"));
    assert_eq!(findings(&of_domain(&libvirt).expect(3))["monitor"].0, "problem");
}
