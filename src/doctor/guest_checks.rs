//! Whether a guest that panicked now would be held, and its memory could be explained.

use super::facts::{GuestFacts, MonitorState};
use super::finding::Finding;

/// Looks at what is known of a guest.
pub(super) fn check(facts: &GuestFacts, is_watched: bool) -> Vec<Finding> {
    let mut found = vec![monitor(facts)];
    found.extend(second_monitor(facts));
    found.extend(state(facts, is_watched));
    found.push(panic_device(facts));
    found.extend(at_panic(facts, is_watched));
    found.push(vmcoreinfo(facts));
    found.extend(encryption(facts));
    found
}

fn domain(facts: &GuestFacts) -> Option<&str> {
    (facts.monitor == MonitorState::Libvirt).then(|| facts.title())
}

/// A domain as an argument of a shell.
fn quoted(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+:".contains(&byte);
    match name.bytes().all(is_plain) && !name.is_empty() {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

fn monitor(facts: &GuestFacts) -> Finding {
    const CHECK: &str = "monitor";
    match (&facts.monitor, &facts.trouble) {
        (MonitorState::Busy { clients }, _) => {
            let names: Vec<_> = clients
                .iter()
                .map(|client| {
                    let name = client.name.as_deref().unwrap_or("a process");
                    format!("{name} ({})", client.process)
                })
                .collect();
            let text = match names.as_slice() {
                [] => "the monitor has another client, and serves one only".to_owned(),
                names => format!("the monitor has another client: {}", names.join(", ")),
            };
            let path = "/run/vmcorectl/NAME.qmp";
            Finding::problem(CHECK, text)
                .mended_by(format!("give QEMU a second one: -qmp unix:{path},server=on,wait=off"))
        }
        (_, Some(trouble)) => {
            let finding = Finding::problem(CHECK, trouble.text.clone());
            match &trouble.hint {
                Some(hint) => finding.mended_by(hint.clone()),
                None => finding,
            }
        }
        (MonitorState::Libvirt, None) => Finding::good(CHECK, "libvirt answers for the domain"),
        (_, None) => Finding::good(CHECK, "the monitor answers and has no other client"),
    }
}

/// A dump through a second monitor of a domain ends libvirtd 9.0: it uses a job at
/// `DUMP_COMPLETED` that it did not begin. 11.3 does not; between them nothing was tried.
fn second_monitor(facts: &GuestFacts) -> Option<Finding> {
    const CHECK: &str = "second-monitor";
    let domain = facts.libvirt_domain.as_deref()?;
    let what = format!("the socket is a second monitor of libvirt's domain {domain}");
    let finding = match facts.dump_refused {
        Some(false) => {
            let text = format!("{what}: libvirt does not know of what is done through it");
            Finding::warning(CHECK, text)
        }
        _ => {
            let text =
                format!("{what}: a dump through it ends libvirtd before 11.3, and is refused");
            Finding::problem(CHECK, text)
        }
    };
    Some(finding.mended_by(format!("capture it as {}", quoted(&format!("libvirt:{domain}")))))
}

fn state(facts: &GuestFacts, is_watched: bool) -> Option<Finding> {
    const CHECK: &str = "state";
    let state = facts.state.as_deref()?;
    if facts.panicked == Some(true) {
        let text = match is_watched {
            true => format!("the guest is panicked ({state}), and watch is there for it"),
            false => format!("the guest is panicked ({state}), and nothing looks after it"),
        };
        let guest = quoted(&facts.guest);
        let capture = format!("vmcorectl capture {guest} --then reset");
        let finding = if is_watched { Finding::note } else { Finding::problem };
        return Some(finding(CHECK, text).mended_by(capture));
    }
    if facts.ran_after_panic == Some(true) {
        let text = "the guest panicked, and was restarted without a capture";
        return Some(Finding::warning(CHECK, text));
    }
    Some(match facts.running {
        Some(true) => Finding::good(CHECK, format!("the guest runs ({state})")),
        _ => Finding::note(CHECK, format!("the guest is stopped ({state})")),
    })
}

fn panic_device(facts: &GuestFacts) -> Finding {
    const CHECK: &str = "panic-device";
    let architecture = facts.architecture.as_deref().unwrap_or("x86_64");
    let has_own = architecture.starts_with("s390") || architecture.starts_with("ppc64");
    match facts.panic_devices.as_deref() {
        Some([]) if has_own => Finding::good(CHECK, "the machine itself reports a panic to QEMU"),
        Some([]) => {
            let text = "no panic device: QEMU and its manager never learn of a panic";
            let is_pci = architecture.starts_with("aarch64") || architecture.starts_with("arm");
            Finding::problem(CHECK, text).mended_by(match (domain(facts), is_pci) {
                (Some(_), false) => {
                    "<panic model='isa'/> in <devices>, then a new start".to_owned()
                }
                (Some(_), true) => {
                    "<panic model='pvpanic'/> in <devices>, then a new start".to_owned()
                }
                (None, false) => "-device pvpanic on QEMU's command line".to_owned(),
                (None, true) => "-device pvpanic-pci on QEMU's command line".to_owned(),
            })
        }
        Some(devices) => Finding::good(CHECK, format!("panic device: {}", devices.join(", "))),
        None => Finding::note(CHECK, "whether there is a panic device is not known"),
    }
}

fn at_panic(facts: &GuestFacts, is_watched: bool) -> Option<Finding> {
    const CHECK: &str = "at-panic";
    let action = facts.at_panic.as_deref();
    let finding = match (action, facts.held_at_panic) {
        (Some(action), Some(true)) => {
            Finding::good(CHECK, format!("a panic holds the guest ({action})"))
        }
        (Some(action), _) => {
            let what = match action {
                "destroy" | "shutdown" | "exit-failure" => "its memory is gone at a panic",
                "restart" => "it is reset at a panic, before a capture can begin",
                "none" => "it runs on at a panic",
                "coredump-destroy" | "coredump-restart" => {
                    "libvirt dumps it uncompressed, and nothing else can capture it"
                }
                _ => "it is not held at a panic",
            };
            let text = match domain(facts) {
                Some(_) => format!("on_crash is {action}: {what}"),
                None => format!("QEMU's action at a panic is {action}: {what}"),
            };
            // It is set by watch for each guest that it sees, unless its policy says otherwise.
            let finding = if is_watched { Finding::note } else { Finding::problem };
            finding(CHECK, text).mended_by(match domain(facts) {
                Some(domain) => format!(
                    "virsh set-lifecycle-action {} crash preserve --live --config",
                    quoted(domain)
                ),
                None => "-action panic=pause on QEMU's command line (-no-shutdown before 6.0)"
                    .to_owned(),
            })
        }
        (None, _) if facts.trouble.is_some() => return None,
        (None, _) => Finding::note(
            CHECK,
            "what QEMU does at a panic is not known: its command line is not visible",
        ),
    };
    Some(finding)
}

fn vmcoreinfo(facts: &GuestFacts) -> Finding {
    const CHECK: &str = "vmcoreinfo";
    match facts.vmcoreinfo {
        Some(true) if facts.running == Some(true) => Finding::good(
            CHECK,
            "vmcoreinfo device: whether the guest's driver filled it shows in a dump only, which \
             stops the guest",
        ),
        Some(true) => Finding::good(CHECK, "vmcoreinfo device"),
        Some(false) => {
            let text = "no vmcoreinfo device: the kernel is found by its page tables on x86-64, and \
                        by a search elsewhere; other tools need the device";
            Finding::warning(CHECK, text).mended_by(match domain(facts) {
                Some(_) => "<vmcoreinfo state='on'/> in <features>, then a new start",
                None => "-device vmcoreinfo on QEMU's command line",
            })
        }
        None => Finding::note(CHECK, "whether there is a vmcoreinfo device is not known"),
    }
}

fn encryption(facts: &GuestFacts) -> Option<Finding> {
    let text = "the guest's memory is encrypted: a core would have ciphertext";
    (facts.memory_encrypted == Some(true)).then(|| {
        Finding::problem("encryption", text).mended_by("none from outside: use kdump in the guest")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    fn domain_facts() -> GuestFacts {
        GuestFacts {
            guest: "libvirt:it's".to_owned(),
            name: Some("it's".to_owned()),
            monitor: MonitorState::Libvirt,
            at_panic: Some("destroy".to_owned()),
            held_at_panic: Some(false),
            ..GuestFacts::default()
        }
    }

    fn find(found: &[Finding], check: &str) -> Finding {
        found.iter().find(|finding| finding.check == check).unwrap().clone()
    }

    #[test]
    fn a_name_is_one_argument_of_the_line_that_mends() {
        let finding = find(&check(&domain_facts(), false), "at-panic");
        assert_eq!(finding.severity, Severity::Problem);
        assert_eq!(
            finding.mend.unwrap(),
            r"virsh set-lifecycle-action 'it'\''s' crash preserve --live --config"
        );
    }

    #[test]
    fn a_second_monitor_of_a_domain_is_a_problem_where_a_capture_refuses_it() {
        for (dump_refused, severity) in [
            (Some(true), Severity::Problem),
            (None, Severity::Problem),
            (Some(false), Severity::Warning),
        ] {
            let libvirt_domain = Some("g1".to_owned());
            let facts = GuestFacts { libvirt_domain, dump_refused, ..GuestFacts::default() };
            let found = find(&check(&facts, false), "second-monitor");
            assert_eq!(found.severity, severity);
            assert_eq!(found.mend.unwrap(), "capture it as libvirt:g1");
        }
    }

    #[test]
    fn what_watch_sets_itself_is_a_note() {
        assert_eq!(find(&check(&domain_facts(), true), "at-panic").severity, Severity::Note);
    }

    #[test]
    fn a_panic_device_is_that_of_the_architecture() {
        for (architecture, mend) in [
            (None, Some("<panic model='isa'/>")),
            (Some("aarch64"), Some("<panic model='pvpanic'/>")),
            (Some("s390x"), None),
        ] {
            let facts = GuestFacts {
                panic_devices: Some(Vec::new()),
                architecture: architecture.map(str::to_owned),
                ..domain_facts()
            };
            let found = find(&check(&facts, false), "panic-device").mend;
            let matches = match (&found, mend) {
                (Some(found), Some(mend)) => found.starts_with(mend),
                (found, mend) => found.is_none() && mend.is_none(),
            };
            assert!(matches, "{architecture:?}: {found:?}");
        }
    }

    #[test]
    fn nothing_is_good_of_a_guest_of_which_nothing_is_known() {
        let facts = GuestFacts {
            trouble: Some(crate::doctor::Trouble { text: "no answer".to_owned(), hint: None }),
            ..GuestFacts::default()
        };
        let found = check(&facts, false);
        assert!(found.iter().all(|finding| finding.severity != Severity::Good), "{found:?}");
    }
}
