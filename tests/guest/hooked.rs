//! The hook of `samples/hooks` under a real libvirt.

use rustix::process::Signal;
use vmcorectl::spool::{EventKind, SpooledEvent, waiting};

use crate::domain::{Domain, NAME};

#[test]
fn libvirt_spools_what_it_does_with_a_domain() {
    let mut domain = Domain::without_libvirt();
    // libvirt looks for hooks when it starts.
    let spool = domain.install_hook();
    domain.start_libvirt();
    domain.start("sysrq", "destroy");
    let events = || -> Vec<SpooledEvent> {
        let waiting = waiting(&spool).unwrap();
        assert_eq!(waiting.unreadable, []);
        waiting.events.into_iter().map(|spooled| spooled.event).collect()
    };
    domain.await_state("shut off (crashed)");
    domain.libvirt_answers();
    let found = events();
    let calls: Vec<_> = found.iter().map(|event| event.arguments.join(" ")).collect();
    println!("a panic that libvirt destroys: {calls:#?}");
    let kinds: Vec<_> = found.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.first(), Some(&EventKind::Came), "{found:#?}");
    // libvirt says why a domain ended since its version 11.
    let says_why = calls.iter().any(|call| call.ends_with(" crashed"));
    let ended = if says_why { EventKind::PanicLost } else { EventKind::Went };
    assert!(kinds.contains(&ended), "{found:#?}");
    assert_eq!(kinds.contains(&EventKind::PanicLost), says_why, "{found:#?}");
    for event in &found {
        assert_eq!((event.guest.as_str(), event.on_crash.as_deref()), (NAME, Some("destroy")));
        assert!(event.uuid.is_some(), "{event:?}");
    }

    // A libvirt that is started again finds its domain.
    domain.virsh(&["start", NAME]);
    domain.end_libvirt(Signal::TERM);
    domain.start_libvirt();
    // libvirt answers before it has called the hook.
    let reconnects = |event: &SpooledEvent| event.arguments.iter().any(|word| word == "reconnect");
    domain.await_that(|| events().iter().any(reconnects), "reconnect");
    // It may have panicked meanwhile.
    let _ = domain.virsh_command(&["destroy", NAME]).status();
    domain.await_state("shut off");
    let all = events();
    let calls: Vec<_> = all[found.len()..].iter().map(|event| event.arguments.join(" ")).collect();
    println!("a start, a restart of libvirt, and a destroy: {calls:#?}");
    let came = all[found.len()..].iter().filter(|event| event.kind == EventKind::Came);
    assert!(came.count() >= 2, "{all:#?}");
    assert!(calls.iter().any(|call| call.contains("release end")), "{all:#?}");
}
