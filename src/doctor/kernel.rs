//! What a report says of a stopped guest's kernel. A running guest would have to be stopped for it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Scope;
use super::facts::{GuestFacts, MonitorState};
use super::finding::Finding;

/// How long the report may take, and how often it is looked whether it has ended.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The most bytes of a report that are read.
const MAX_REPORT: u64 = 64 << 20;
const CHECK: &str = "kernel";

/// Has a report made of a guest that is stopped. A process of its own makes it: the same program,
/// which confines what parses the guest's memory.
pub(super) fn check(facts: &GuestFacts, scope: &Scope) -> Option<Finding> {
    facts.state.as_ref()?;
    if facts.running != Some(false) {
        let text = "whether symbols and types are found shows in a stopped guest only";
        return Some(Finding::note(CHECK, text));
    }
    let is_ours = match facts.monitor {
        MonitorState::Free => facts.libvirt_domain.is_none(),
        // A domain that a person has paused is left to them.
        MonitorState::Libvirt => facts.panicked == Some(true),
        _ => false,
    };
    if !is_ours {
        let text = "whether symbols and types are found was not looked at";
        let mend = format!("vmcorectl report {}", facts.guest);
        return Some(Finding::note(CHECK, text).mended_by(mend));
    }
    Some(match report(&facts.guest, scope) {
        Ok(report) => found_in(&report),
        Err(reason) => Finding::warning(CHECK, format!("no report can be made: {reason}"))
            .mended_by(format!("vmcorectl report {}", facts.guest)),
    })
}

/// What the report has, and what it lacks: symbols, types and a filled vmcoreinfo are among its
/// findings.
fn found_in(report: &Value) -> Finding {
    const NAMED: usize = 2;
    let Some(release) = report.pointer("/kernel/release").and_then(Value::as_str) else {
        return Finding::warning(
            CHECK,
            "no kernel is found in the memory: a report lacks the crash",
        );
    };
    let title = report.get("title").and_then(Value::as_str).unwrap_or_default();
    let text = format!("the kernel is found ({release}); the report says: {title}");
    let findings = report.get("findings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let named = findings.iter().take(NAMED).filter_map(|finding| finding.get("text")?.as_str());
    match named.collect::<Vec<_>>().join("; ") {
        lacks if lacks.is_empty() => Finding::good(CHECK, text),
        lacks => Finding::note(CHECK, format!("{text}; it lacks: {lacks}")),
    }
}

fn report(guest: &str, scope: &Scope) -> Result<Value, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut command = Command::new("/proc/self/exe");
    command.args(["report", "--json"]);
    if let Some(libvirt) = &scope.libvirt {
        command.args(["--connect", &libvirt.full_uri()]);
    }
    let mut child = command
        .args(["--", guest])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.map(|pipe| pipe.take(MAX_REPORT).read_to_end(&mut bytes));
            bytes
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let errors = read(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let started = Instant::now();
    let ended = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break Some(status),
            None if started.elapsed() > LIMIT => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => thread::sleep(LOOK_INTERVAL),
        }
    };
    let (out, errors) = (out.join().unwrap_or_default(), errors.join().unwrap_or_default());
    match ended {
        Some(status) if status.success() => {
            serde_json::from_slice(&out).map_err(|error| error.to_string())
        }
        Some(_) => {
            let errors = String::from_utf8_lossy(&errors);
            Err(errors
                .lines()
                .next()
                .unwrap_or("it failed")
                .trim_start_matches("error: ")
                .to_owned())
        }
        None => Err(format!("it takes longer than {}", crate::units::duration(LIMIT))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::finding::Severity;

    #[test]
    fn what_a_report_lacks_is_named() {
        let none = found_in(&json!({ "kernel": { "release": null }, "findings": [] }));
        assert_eq!(none.severity, Severity::Warning);
        let kernel = json!({ "release": "6.1.0" });
        let whole = found_in(&json!({ "kernel": kernel, "title": "panic", "findings": [] }));
        assert_eq!(whole.severity, Severity::Good);
        let findings = json!([{ "about": "kernel", "text": "no BTF" }]);
        let part = found_in(&json!({ "kernel": kernel, "title": "panic", "findings": findings }));
        assert!(
            part.severity == Severity::Note && part.text.ends_with("it lacks: no BTF"),
            "{part:?}"
        );
    }

    #[test]
    fn a_guest_that_runs_is_not_looked_into() {
        let facts = GuestFacts {
            state: Some("running".to_owned()),
            running: Some(true),
            ..GuestFacts::default()
        };
        let scope = Scope { libvirt: None, patterns: Vec::new(), timeout: Duration::from_secs(1) };
        assert_eq!(check(&facts, &scope).unwrap().severity, Severity::Note);
        assert_eq!(check(&GuestFacts::default(), &scope), None);
    }
}
