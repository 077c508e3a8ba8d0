//! Other clients of a real libvirt that act on a held guest while it is captured, at any moment
//! of that: the core is whole and of the panic, or the capture says that it is not.
//!
//! In the full run alone: the guest boots again after most of it.

use std::env;
use std::path::Path;
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::domain::{Domain, GUEST, NAME};
use crate::same_memory::assert_same_at;
use crate::tool::{finish, metadata_of, start};

/// When the other client acts.
#[derive(Clone, Copy, Debug)]
enum When {
    /// This long after the capture was started, in milliseconds.
    After(u64),
    /// During the dump.
    Dumping,
}

/// Has another client act during a capture, and checks what that says. The guest is held before,
/// and runs after it.
fn meddle(domain: &mut Domain, action: &str, when: When) {
    domain.await_state("crashed (panicked)");
    let by_libvirt = domain.dump_by_libvirt();
    let (uri, store) = (domain.uri(), domain.store());
    let slow = ["--level", "12", "--threads", "1", "--timeout", "60s"];
    let arguments = ["capture", GUEST, "--connect", &uri, "--store", &store, "--then", "hold"];
    let capture = start(arguments.into_iter().chain(slow));
    match when {
        When::After(delay) => sleep(Duration::from_millis(delay)),
        When::Dumping => domain.await_job(),
    }
    let file = domain.space("other.elf");
    let arguments: Vec<&str> = match action {
        "dump" => vec!["dump", "--memory-only", NAME, file.to_str().unwrap()],
        action => vec![action, NAME],
    };
    let mut other = domain.virsh_command(&arguments);
    // It may wait for the dump's end.
    let other = spawn(move || other.output().expect("virsh starts"));
    let ran = finish(capture);
    let other = other.join().unwrap();
    let context = format!("{action} {when:?}: {ran:?}\n{other:?}");
    match ran.code {
        Some(0) => assert_same(domain, &ran.entry(), &by_libvirt),
        // Not of a panic any more, or not whole: never without a word.
        Some(1 | 3 | 4 | 5) => assert!(!ran.stderr.is_empty(), "{context}"),
        _ => panic!("{context}"),
    }
    match action {
        "dump" => assert_eq!(ran.code, Some(0), "{context}"),
        "destroy" => assert_ne!(ran.code, Some(5), "a guest that is gone is not held: {context}"),
        _ => {}
    }
    domain.libvirt_answers();
    assert!(!domain.has_named_pipe(), "{context}");
    let state = domain.state();
    match action {
        "destroy" => {
            assert_eq!(state, "shut off (destroyed)", "{context}");
            domain.virsh(&["start", NAME]);
        }
        "reset" | "dump" => drop(domain.virsh(&["resume", NAME])),
        _ => {}
    }
}

#[track_caller]
fn assert_same(domain: &Domain, entry: &Path, theirs: &Path) {
    assert!(metadata_of(entry).panic.is_some());
    assert_same_at(&domain.space("unpacked.elf"), &entry.join("vmcore.elf.zst"), theirs);
}

#[test]
fn a_core_is_of_the_panic_whatever_other_clients_of_libvirt_do() {
    let is_full = env::var_os("VMCORECTL_TEST_FULL").is_some();
    if !is_full {
        return;
    }
    let mut domain = Domain::panicked("sysrq");
    let moments = [When::After(0), When::After(60), When::After(150), When::Dumping];
    for action in ["dump", "resume", "reset", "destroy"] {
        for when in moments {
            meddle(&mut domain, action, when);
        }
    }
}
