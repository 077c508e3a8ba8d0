//! The watcher and libvirt: domains are found, set to stop at a panic, and captured.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::core_stream::CoreStream;
use crate::scripted_libvirt::procedure::{DUMP, LIFECYCLE_ACTION, LIST, REGISTER, RESUME};
use crate::scripted_libvirt::{LibvirtScript, PANICKED, RUNNING, SHUT_OFF, ScriptedLibvirt};
use crate::setting::check_whole;
use crate::tool::{self, metadata_of};
use crate::watcher::{Host, Watcher};

const RESUMES: &str = "\n[[policy]]\nguests = [\"*\"]\nthen = \"resume\"\n";

fn running(on_crash: &'static str) -> LibvirtScript {
    LibvirtScript { state: RUNNING, on_crash, ..LibvirtScript::default() }
}

fn watch(host: &Host, libvirt: &ScriptedLibvirt, more: &str) -> Watcher {
    let config = host.configure_libvirt(&libvirt.uri(), more);
    Watcher::start(&config, &[])
}

#[test]
fn a_domain_that_is_destroyed_at_a_panic_is_set_to_stop_and_one_that_is_dumped_is_not() {
    for (on_crash, then, is_set) in [
        ("destroy", "quit", true),
        ("restart", "reset", true),
        ("preserve", "hold", false),
        ("coredump-restart", "reset", false),
    ] {
        let libvirt = ScriptedLibvirt::start(running(on_crash));
        let host = Host::new([]);
        let mut watcher = watch(&host, &libvirt, "");
        let watched = watcher.expect("watched");
        assert_eq!(watched["guest"], "web-3");
        let message = watched["message"].as_str().unwrap();
        assert!(message.contains(&format!("then {then}")), "{on_crash}: {message}");
        if is_set {
            libvirt.await_calls(LIFECYCLE_ACTION, 1);
        }
        watcher.stop();
        assert_eq!(libvirt.calls(LIFECYCLE_ACTION), usize::from(is_set), "{on_crash}");
        // Registered first, and listed then.
        assert!(libvirt.calls(REGISTER) > 0 && libvirt.calls(LIST) > 0);
    }
}

#[test]
fn a_policy_may_leave_on_crash_as_it_is() {
    let libvirt = ScriptedLibvirt::start(running("destroy"));
    let host = Host::new([]);
    let mut watcher =
        watch(&host, &libvirt, "\n[[policy]]\nguests = [\"web-*\"]\npreserve = false\n");
    watcher.expect("watched");
    watcher.expect_none("captured", Duration::from_millis(200));
    watcher.stop();
    assert_eq!(libvirt.actions(), [0; 0]);
}

#[test]
fn a_domain_that_ends_at_its_panic_is_an_entry_that_says_so() {
    let libvirt = ScriptedLibvirt::start(running("destroy"));
    let host = Host::new([]);
    let mut watcher = watch(&host, &libvirt, "\n[[policy]]\nguests = [\"*\"]\npreserve = false\n");
    watcher.expect("watched");
    libvirt.change(SHUT_OFF, 8);
    let lost = watcher.expect("lost");
    assert!(lost["message"].as_str().unwrap().contains("shut off"), "{lost}");
    watcher.stop();
    let metadata = metadata_of(&host.listing().entries[0]);
    assert_eq!((metadata.guest.name.as_deref(), metadata.core), (Some("web-3"), None));
}

#[test]
fn a_libvirt_that_is_gone_is_reported_and_tried_again() {
    let libvirt = ScriptedLibvirt::start(running("preserve"));
    let host = Host::new([]);
    let mut watcher = watch(&host, &libvirt, "");
    watcher.expect("watched");
    libvirt.kill();
    let gone = watcher.expect("source");
    assert!(gone["message"].as_str().unwrap().contains("not watched"), "{gone}");
    watcher.stop();
}

#[test]
fn check_has_the_domains() {
    let libvirt = ScriptedLibvirt::start(running("restart"));
    let host = Host::new([]);
    let config = host.configure_libvirt(&libvirt.uri(), "");
    let checked = tool::run(["watch", "--check", "--config", config.to_str().unwrap()]).expect(0);
    let line = checked.stdout.lines().find(|line| line.starts_with("web-3")).expect("the domain");
    assert!(line.contains("running (unpaused)") && line.contains("reset"), "{line}");
    assert_eq!(libvirt.actions(), [0; 0]);
    libvirt.kill();
    tool::run(["watch", "--check", "--config", config.to_str().unwrap()])
        .expect(0)
        .says("guests of libvirt are not seen");
}

#[test]
fn a_panic_is_captured_through_libvirt_and_the_domain_released() {
    let script = running("preserve");
    let stream = script.stream.clone();
    let libvirt = ScriptedLibvirt::start(script);
    let host = Host::new([]);
    let mut watcher = watch(&host, &libvirt, RESUMES);
    watcher.expect("watched");
    for count in 1..=2 {
        libvirt.panic_guest();
        let captured = watcher.expect("captured");
        assert_eq!(captured["result"], "complete", "{captured}");
        assert_eq!(libvirt.state(), RUNNING);
        assert_eq!((libvirt.calls(DUMP), libvirt.calls(RESUME)), (count, count));
        assert_eq!(host.listing().entries.len(), count);
    }
    watcher.stop();
    host.listing().entries.iter().for_each(|entry| drop(check_whole(entry, &stream)));
}

#[test]
fn a_domain_that_is_found_crashed_is_captured_once_and_released_as_it_was_configured() {
    let libvirt = ScriptedLibvirt::start(LibvirtScript::default());
    let host = Host::new([]);
    let mut watcher = watch(&host, &libvirt, "");
    assert_eq!(watcher.expect("captured")["result"], "complete");
    watcher.stop();
    assert_eq!(libvirt.state(), PANICKED);
    let mut watcher = watch(&host, &libvirt, "");
    watcher.expect("watched");
    watcher.expect_none("panic", Duration::from_millis(300));
    watcher.stop();

    // Its action was not carried out: libvirtd was down.
    let libvirt =
        ScriptedLibvirt::start(LibvirtScript { on_crash: "restart", ..LibvirtScript::default() });
    let host = Host::new([]);
    let mut watcher = watch(&host, &libvirt, "");
    assert_eq!(watcher.expect("captured")["result"], "complete");
    watcher.stop();
    assert_eq!(libvirt.state(), RUNNING);
}

#[test]
fn a_panic_while_libvirt_restarts_is_captured() {
    let libvirt = ScriptedLibvirt::start(running("preserve"));
    let host = Host::new([]);
    let mut watcher = watch(&host, &libvirt, RESUMES);
    watcher.expect("watched");
    // No event reports it.
    libvirt.restart(PANICKED);
    watcher.expect_that("source", |record| record["message"].as_str().is_some_and(is_trouble));
    let captured = watcher.expect("captured");
    assert_eq!(captured["result"], "complete", "{captured}");
    libvirt.restart(RUNNING);
    watcher.expect_that("source", |record| record["message"].as_str().is_some_and(is_trouble));
    watcher.stop();
    assert_eq!((host.listing().entries.len(), libvirt.calls(DUMP)), (1, 1));
}

/// A libvirtd that hangs is noticed by the limit of one call.
#[test]
fn a_libvirt_that_hangs_is_reported_and_its_panic_captured_once_it_goes_on() {
    let libvirt = ScriptedLibvirt::start(running("preserve"));
    let host = Host::new([]);
    let mut watcher = watch(&host, &libvirt, RESUMES);
    watcher.expect("watched");
    libvirt.hang(true);
    libvirt.panic_guest();
    let trouble = watcher.expect("source");
    let message = trouble["message"].as_str().unwrap();
    assert!(is_trouble(message) && message.contains("did not answer"), "{trouble}");
    libvirt.hang(false);
    let captured = watcher.expect("captured");
    assert_eq!(captured["result"], "complete", "{captured}");
    watcher.stop();
    assert_eq!((libvirt.state(), host.listing().entries.len()), (RUNNING, 1));
}

/// The same crash of a real kernel, whose report is made from the held guest by peeks.
#[test]
fn the_second_panic_of_a_signature_keeps_no_core() {
    let host = Host::new([]);
    let (sample, elf) = ("samples/core/linux-6.1.zst", host.path("core.elf"));
    tool::run(["export", sample, "--output", elf.to_str().unwrap()]).expect(0);
    let stream = Arc::new(CoreStream::of_core(fs::read(&elf).unwrap()));
    let libvirt = ScriptedLibvirt::start(LibvirtScript { stream, ..running("preserve") });
    let mut watcher = watch(&host, &libvirt, &format!("{RESUMES}[guards]\nduplicates = 1\n"));
    watcher.expect("watched");
    libvirt.panic_guest();
    let first = watcher.expect("captured");
    assert_eq!(first["result"], "complete", "{first}");
    libvirt.panic_guest();
    let reason = watcher.expect("left-out");
    assert!(reason["message"].as_str().unwrap().contains("1 core of its signature"), "{reason}");
    let second = watcher.expect("captured");
    assert_eq!(second["result"], "left-out", "{second}");
    assert_eq!(first["title"], second["title"]);
    assert_eq!(libvirt.state(), RUNNING);
    watcher.stop();
    assert_eq!(host.listing().entries.len(), 2);
}

fn is_trouble(message: &str) -> bool {
    message.contains("not watched")
}
