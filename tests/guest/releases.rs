//! A panicked guest is captured and let go in each way.

use crate::machine::Machine;
use crate::same_memory::assert_same;
use crate::tool::{listing, metadata_of, run};

#[test]
fn a_resumed_guest_runs_on_and_obeys_its_own_panic_timeout() {
    let machine = Machine::panicked(&["--name", "web-3"]);
    let by_qemu = machine.dump_by_qemu();
    let store = machine.store();
    let ran = run(["capture", &machine.monitor(), "--then", "resume", "--store", &store]).expect(0);
    let entry = ran.entry();
    let metadata = metadata_of(&entry);
    assert_eq!(ran.complaints(), "");
    machine.await_console("Rebooting in 5 seconds", 1);
    machine.await_console("GUEST-BOOT", 2);
    assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);

    let release = metadata.release.unwrap();
    assert!(release.done);
    assert_eq!(release.state_before.as_deref(), Some("guest-panicked"));
    assert_eq!(release.state_after.as_deref(), Some("running"));
    assert!(metadata.held_seconds.unwrap() > 0.0);
    assert_eq!(metadata.guest.name.as_deref(), Some("web-3"));
    assert_eq!(metadata.guest.cpus, Some(2));
    assert_eq!(metadata.guest.memory_bytes, Some(512 << 20));
    assert_eq!(metadata.guest.architecture.as_deref(), Some("x86_64"));
    let core = metadata.core.unwrap();
    assert_eq!((core.cpus, core.vmcoreinfo), (Some(2), Some(true)));

    let shown = run(["info", "latest", "--store", &store]).expect(0).stdout;
    assert!(shown.contains("resume: guest-panicked -> running"), "{shown}");
}

#[test]
fn a_reset_guest_starts_anew() {
    let machine = Machine::panicked(&[]);
    let by_qemu = machine.dump_by_qemu();
    let store = machine.store();
    let entry =
        run(["capture", &machine.monitor(), "--reset", "--store", &store]).expect(0).entry();
    machine.await_console("GUEST-BOOT", 2);
    assert!(!machine.console().contains("Rebooting in"), "it was reset, not resumed");
    assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);
    let release = metadata_of(&entry).release.unwrap();
    assert_eq!((release.action.as_str(), release.done), ("reset", true));
    assert_eq!(release.state_after.as_deref(), Some("running"));
}

#[test]
fn quit_ends_the_guest() {
    let mut machine = Machine::panicked(&[]);
    let by_qemu = machine.dump_by_qemu();
    let store = machine.store();
    let entry =
        run(["capture", &machine.monitor(), "--then", "quit", "--store", &store]).expect(0).entry();
    assert!(machine.await_end().success());
    assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);
    let release = metadata_of(&entry).release.unwrap();
    assert_eq!((release.done, release.state_after), (true, None));
}

#[test]
fn a_held_guest_can_be_captured_twice() {
    let machine = Machine::panicked(&[]);
    let by_qemu = machine.dump_by_qemu();
    let store = machine.store();
    let capture = || run(["capture", &machine.monitor(), "--store", &store]).expect(0).entry();
    let entries = [capture(), capture()];
    assert_eq!(machine.state(), "guest-panicked");
    let mut published = entries.to_vec();
    published.sort();
    let listing = listing(machine.space("store").as_path());
    assert_eq!((listing.entries, listing.incomplete), (published, Vec::new()));
    for entry in &entries {
        let metadata = metadata_of(entry);
        assert_eq!(metadata.held_seconds, None, "it is held still");
        assert_eq!(metadata.release.unwrap().state_after.as_deref(), Some("guest-panicked"));
        assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);
    }
}

#[test]
fn a_guest_without_a_panic_is_captured_only_where_asked() {
    let machine = Machine::boot(&["--crash", "none"]);
    machine.await_console("GUEST-READY", 1);
    let (monitor, store) = (machine.monitor(), machine.store());
    run(["capture", &monitor, "--store", &store]).expect(4).says("its state is \"running\"");
    assert!(!machine.space("store").exists());

    let held = ["capture", &monitor, "--any-state", "--then", "hold", "--store", &store];
    let entry = run(held).expect(0).entry();
    assert_eq!(machine.state(), "paused");
    let by_qemu = machine.dump_by_qemu();
    assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);
    let metadata = metadata_of(&entry);
    assert_eq!((metadata.panic, metadata.state_found.as_deref()), (None, Some("running")));

    // A guest that was paused stays paused, even if it should be resumed.
    let resumed = ["capture", &monitor, "--any-state", "--then", "resume", "--store", &store];
    let entry = run(resumed).expect(0).entry();
    assert_eq!(machine.state(), "paused");
    assert_eq!(metadata_of(&entry).state_found.as_deref(), Some("paused"));
    assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);

    machine.execute("cont");
    let entry = run(["capture", &monitor, "--any-state", "--store", &store]).expect(0).entry();
    assert_eq!(machine.state(), "running", "it runs as before");
    assert!(metadata_of(&entry).held_seconds.unwrap() > 0.0);
}
