//! The program is attached before the panic comes.

use crate::machine::Machine;
use crate::same_memory::assert_same;
use crate::tool::{finish, metadata_of, run, start};
use vmcorectl::metadata::NoticedBy;

#[test]
fn a_guest_that_would_shut_down_is_held_for_whom_waits() {
    let machine = Machine::boot(&["--append", "guest.wait=5", "--", "-action", "panic=shutdown"]);
    let (monitor, store) = (machine.monitor(), machine.store());
    let waiting =
        start(["capture", &monitor, "--wait=170s", "--then", "hold", "-v", "--store", &store]);
    let entry = finish(waiting).expect(0).says("waiting for a panic").entry();
    assert_eq!(machine.state(), "guest-panicked");
    let by_qemu = machine.dump_by_qemu();
    assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);
    let metadata = metadata_of(&entry);
    assert_eq!(metadata.state_found.as_deref(), Some("running"));
    let panic = metadata.panic.unwrap();
    assert_eq!((panic.noticed_by, panic.events), (NoticedBy::Event, 1));
    assert!(panic.happened.unwrap() <= panic.noticed);
    assert_eq!(panic.action.as_deref(), Some("pause"));
}

#[test]
fn waiting_ends_when_the_time_is_up() {
    let machine = Machine::boot(&["--crash", "none"]);
    run(["capture", &machine.monitor(), "--wait=200ms", "--store", &machine.store()])
        .expect(4)
        .says("did not panic");
    assert_eq!(machine.state(), "running");
}
