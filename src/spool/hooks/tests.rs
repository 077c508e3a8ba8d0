use std::path::Path;

use super::*;
use crate::spool::EventKind;

/// The kind, the guest and the socket of an event, as `kind guest socket`.
fn event(line: &str) -> String {
    let mut words = line.split(' ').map(str::to_owned);
    let kind = words.next().unwrap();
    match event_of(&kind, &words.collect::<Vec<_>>(), None) {
        Ok(Some(event)) => {
            let socket = event.socket.as_deref().map_or("-".into(), Path::to_string_lossy);
            format!("{:?} {} {socket}", event.kind, event.guest)
        }
        Ok(None) => "none".to_owned(),
        Err(_) => "error".to_owned(),
    }
}

#[test]
fn each_daemon_says_what_came_and_went() {
    for (line, expected) in [
        ("libvirt g1 prepare begin -", "none"),
        ("libvirt g1 start begin -", "none"),
        ("libvirt g1 started begin -", "Came g1 -"),
        ("libvirt g1 reconnect begin -", "Came g1 -"),
        ("libvirt g1 stopped end -", "none"),
        ("libvirt g1 release end -", "Went g1 -"),
        ("libvirt g1 release end destroyed", "Went g1 -"),
        ("libvirt g1 release end crashed", "PanicLost g1 -"),
        ("libvirt g1 something new -", "none"),
        ("libvirt g1", "error"),
        ("libvirt", "error"),
        ("proxmox 100 pre-start", "none"),
        ("proxmox 100 post-start", "Came 100 /run/vmcorectl/100.qmp"),
        ("proxmox 100 post-stop", "Went 100 /run/vmcorectl/100.qmp"),
        ("proxmox ../x post-start", "Came ../x -"),
        ("proxmox 100 sometime", "error"),
        ("proxmox 100", "error"),
        ("incus web instance-started", "Came web /run/incus/web/vmcorectl.qmp"),
        ("incus web instance-started default", "Came web /run/incus/web/vmcorectl.qmp"),
        ("incus web instance-stopped p1", "Went p1_web /run/incus/p1_web/vmcorectl.qmp"),
        ("incus web instance-started ../../p", "Came ../../p_web -"),
        ("incus web instance-updated", "none"),
        ("incus web", "error"),
        ("other started g /run/g.qmp", "Came g /run/g.qmp"),
        ("other crashed g", "PanicLost g -"),
        ("other started g g.qmp", "Came g -"),
        ("other g", "error"),
        ("virtualbox g", "error"),
        ("", "error"),
    ] {
        assert_eq!(event(line), expected, "{line}");
    }
}

#[test]
fn a_lost_panic_has_what_the_domain_says_of_it() {
    let arguments = ["g1", "release", "end", "crashed"].map(str::to_owned);
    let xml = "<domain><uuid>u-1</uuid><on_crash>destroy</on_crash></domain>";
    let event = event_of("libvirt", &arguments, Some(xml)).unwrap().unwrap();
    assert_eq!((event.kind, event.reason.as_deref()), (EventKind::PanicLost, Some("crashed")));
    assert_eq!((event.uuid.as_deref(), event.on_crash.as_deref()), (Some("u-1"), Some("destroy")));
    assert_eq!(event.arguments, arguments);
    let event = event_of("libvirt", &arguments, Some("no XML")).unwrap().unwrap();
    assert_eq!((event.uuid, event.on_crash), (None, None));
}

#[test]
fn arguments_of_any_length_and_number_are_bounded() {
    let long = vec!["x".repeat(100_000); 1000];
    let arguments = [vec!["g".to_owned(), "started".to_owned()], long].concat();
    let event = event_of("libvirt", &arguments, None).unwrap().unwrap();
    assert_eq!(event.arguments.len(), MAX_ARGUMENTS);
    assert!(event.arguments.iter().all(|argument| argument.len() <= MAX_ARGUMENT));
}
