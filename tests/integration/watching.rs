//! The watcher: each panic of its guests becomes an entry, and each guest is released by its
//! policy.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use vmcorectl::metadata::NoticedBy;

use crate::core_stream::MIB;
use crate::scripted_qemu::{DumpPlan, ENDED, PANICKED, Script, ScriptedQemu};
use crate::setting::check_whole;
use crate::tool::{self, metadata_of};
use crate::watcher::{Host, Watcher};

const RESUME: &str = "\n[[policy]]\nguests = [\"*\"]\nthen = \"resume\"\n";

fn running() -> Script {
    Script { state: "running", ..Script::default() }
}

fn panic(qemu: &ScriptedQemu) {
    qemu.panic_guest(&[("GUEST_PANICKED", json!({ "action": "pause" }))], PANICKED);
}

/// Waits until a guest is watched that does not panic.
#[track_caller]
fn await_watched(qemu: &ScriptedQemu) {
    qemu.await_command("set-action");
    qemu.await_commands("query-status", 1);
}

#[test]
fn a_guest_that_is_found_panicked_is_captured_and_released() {
    let script = Script::default();
    let stream = script.stream.clone();
    let qemu = ScriptedQemu::start(script);
    let host = Host::new([&qemu]);
    let mut watcher = host.watch(RESUME);
    let panic = watcher.expect("panic");
    assert_eq!(
        (panic["guest"].as_str(), panic["message"].as_str()),
        (Some("web-3"), Some("was found panicked"))
    );
    let captured = watcher.expect("captured");
    assert_eq!(captured["result"], "complete");
    assert_eq!(qemu.run_state(), "running");
    watcher.stop();
    let listing = host.listing();
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (1, 0));
    assert_eq!(captured["entry"].as_str(), listing.entries[0].to_str());
    check_whole(&listing.entries[0], &stream);
}

#[test]
fn entries_are_encrypted_and_names_hidden_as_the_configuration_says() {
    let qemu = ScriptedQemu::start(Script::default());
    let host = Host::new([&qemu]);
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let encrypted = format!("encrypt-to = [{recipient:?}]\nhide = [\"names\"]\n{RESUME}");
    let mut watcher = host.watch(&encrypted);
    let captured = watcher.expect("captured");
    assert_eq!(captured["result"], "complete");
    watcher.stop();
    let entry = host.listing().entries[0].clone();
    assert_eq!(captured["entry"].as_str(), entry.to_str());
    assert!(entry.join("vmcore.elf.zst.age").exists() && !entry.join("report.json").exists());
    let metadata = fs::read_to_string(entry.join("metadata.json")).unwrap();
    assert!(
        !metadata.contains("web-3") && !entry.to_str().unwrap().contains("web-3"),
        "{metadata}"
    );
    // A recipient that is none is found before any guest waits for its capture.
    for (text, problem) in [
        ("encrypt-to = [\"age1nonsense\"]\n", "encrypt-to: \"age1nonsense\" is no recipient"),
        ("hide = [\"names\"]\n", "encrypt-to is missing"),
    ] {
        let config = host.configure(text);
        tool::run(["watch", "--check", "--config", config.to_str().unwrap()])
            .expect(2)
            .says(problem);
    }
}

#[test]
fn each_panic_of_a_guest_is_captured_once() {
    let qemu = ScriptedQemu::start(running());
    let host = Host::new([&qemu]);
    let mut watcher = host.watch(RESUME);
    await_watched(&qemu);
    for count in 1..=3 {
        // The watcher is back at the monitor once it has asked.
        qemu.await_client();
        panic(&qemu);
        let noticed = watcher.expect("panic");
        assert!(noticed["message"].as_str().unwrap().contains("panicked"));
        assert_eq!(watcher.expect("captured")["result"], "complete");
        assert_eq!(host.listing().entries.len(), count);
        assert_eq!(qemu.run_state(), "running");
    }
    watcher.expect_none("panic", Duration::from_millis(300));
    assert_eq!(qemu.received("set-action")[0], json!({ "panic": "pause" }));
}

#[test]
fn a_guest_that_stays_held_is_captured_once_and_again_after_its_next_panic() {
    let qemu = ScriptedQemu::start(Script::default());
    let host = Host::new([&qemu]);
    let mut watcher = host.watch("");
    watcher.expect("captured");
    assert_eq!(qemu.run_state(), PANICKED);
    // Its monitor is free for others meanwhile.
    qemu.await_no_client();
    // The watcher looks again, and so does one that is started again.
    watcher.expect_none("panic", Duration::from_secs(3));
    watcher.stop();
    let mut watcher = host.watch("");
    watcher.expect("watched");
    watcher.expect_none("panic", Duration::from_secs(1));
    qemu.panic_guest(&[], "running");
    watcher
        .expect_that("watched", |record| record["message"].as_str().unwrap().contains("released"));
    qemu.await_client();
    panic(&qemu);
    watcher.expect("captured");
    assert_eq!(host.listing().entries.len(), 2);
    assert!(qemu.actions().iter().all(|action| action != "cont"));
}

#[test]
fn many_guests_that_panic_at_once_wait_for_their_turn() {
    let guests: Vec<_> = (0..6)
        .map(|number| {
            let name = Some(format!("guest-{number}"));
            ScriptedQemu::start(Script { name, ..Script::default() })
        })
        .collect();
    let host = Host::new(&guests);
    let mut watcher = host.watch(&format!("{RESUME}\n[guards]\ncaptures = 2\ndumping = 1\n"));
    for _ in &guests {
        assert_eq!(watcher.expect("captured")["result"], "complete");
    }
    watcher.stop();
    assert_eq!(host.listing().entries.len(), guests.len());
    assert!(guests.iter().all(|guest| guest.run_state() == "running"));
}

#[test]
fn a_capture_that_fails_is_tried_again_as_long_as_the_guest_is_held() {
    let dump = DumpPlan::Fails(MIB, "Input/output error");
    let qemu = ScriptedQemu::start(Script { dump, ..Script::default() });
    let host = Host::new([&qemu]);
    let mut watcher = host.watch("");
    let failed = watcher.expect_that("captured", |record| record["result"] == "failed");
    assert!(failed["message"].as_str().unwrap().contains("Input/output error"), "{failed}");
    qemu.mend();
    watcher.expect_that("captured", |record| record["result"] == "complete");
    assert_eq!(host.listing().entries.len(), 1);
}

#[test]
fn a_guest_that_is_gone_before_its_capture_worked_is_an_entry_that_says_so() {
    let dump = DumpPlan::Fails(MIB, "Input/output error");
    let qemu = ScriptedQemu::start(Script { dump, ..Script::default() });
    let host = Host::new([&qemu]);
    let mut watcher = host.watch("");
    watcher.expect_that("captured", |record| record["result"] == "failed");
    qemu.kill();
    let lost = watcher.expect("lost");
    assert!(lost["message"].as_str().unwrap().contains("QEMU ended before the capture"), "{lost}");
    watcher.stop();
    let listing = host.listing();
    assert_eq!(listing.entries.len(), 1, "{listing:?}");
    assert_eq!(metadata_of(&listing.entries[0]).core, None);
}

#[test]
fn a_panic_that_ends_qemu_is_an_entry_that_says_so() {
    let refuse = [("set-action", ("GenericError", "not now"))].into();
    let qemu = ScriptedQemu::start(Script { refuse, ..running() });
    let host = Host::new([&qemu]);
    let (script, out) = (host.path("notify"), host.path("notified"));
    fs::write(&script, format!("cat > {0}.new; mv {0}.new {0}", out.display())).unwrap();
    let mut watcher = host.watch(&format!("notify = [\"/bin/sh\", {script:?}]\n"));
    await_watched(&qemu);
    let warned = watcher.expect_that("source", |record| record["level"] == "warning");
    assert!(warned["message"].as_str().unwrap().contains("-no-shutdown"));
    qemu.await_client();
    qemu.panic_guest(&[("GUEST_PANICKED", json!({ "action": "poweroff" }))], "shutdown");
    qemu.kill();
    watcher.expect("lost");
    while !out.exists() {
        watcher.expect_none("captured", Duration::from_millis(50));
    }
    watcher.stop();
    let metadata = metadata_of(&host.listing().entries[0]);
    let notified = serde_json::from_slice(&fs::read(out).unwrap());
    assert_eq!(metadata, notified.expect("its metadata"));
    assert_eq!(metadata.panic.unwrap().noticed_by, NoticedBy::Event);
    assert_eq!(qemu.run_state(), ENDED);
}

#[test]
fn a_policy_leaves_the_core_out_or_ignores_the_guest() {
    let name = |name: &str| Script { name: Some(name.to_owned()), ..Script::default() };
    let (small, ignored) =
        (ScriptedQemu::start(name("small")), ScriptedQemu::start(name("ignored")));
    let host = Host::new([&small, &ignored]);
    let mut watcher = host.watch(
        "\n[[policy]]\nguests = [\"ignored\"]\nignore = true\n\
         [[policy]]\nguests = [\"*\"]\nreport-only = true\nthen = \"resume\"\n",
    );
    let left_out = watcher.expect("left-out");
    assert!(left_out["message"].as_str().unwrap().contains("its policy is report-only"));
    assert_eq!(watcher.expect("captured")["result"], "left-out");
    watcher.stop();
    assert_eq!((small.run_state().as_str(), ignored.run_state().as_str()), ("running", PANICKED));
    let listing = host.listing();
    assert_eq!(listing.entries.len(), 1);
    assert!(!listing.entries[0].join("vmcore.elf.zst").exists());
}

#[test]
fn a_crash_loop_leaves_cores_out_and_counting_stays_true() {
    let qemu = ScriptedQemu::start(running());
    let host = Host::new([&qemu]);
    let guards = "\n[guards]\ncrash-loop = { panics = 2, within = \"1h\" }\n";
    let mut watcher = host.watch(&format!("{RESUME}{guards}"));
    await_watched(&qemu);
    for result in ["complete", "left-out", "left-out"] {
        qemu.await_client();
        panic(&qemu);
        let captured = watcher.expect("captured");
        assert_eq!(captured["result"], result, "{captured}");
        assert_eq!(qemu.run_state(), "running");
    }
    assert_eq!(host.listing().entries.len(), 3);
}

#[test]
fn what_was_written_in_a_time_leaves_further_cores_out() {
    let qemu = ScriptedQemu::start(running());
    let host = Host::new([&qemu]);
    let guards = "\n[guards]\nwrite-limit = { bytes = \"1\", within = \"1h\" }\n";
    let mut watcher = host.watch(&format!("{RESUME}{guards}"));
    await_watched(&qemu);
    for result in ["complete", "left-out"] {
        qemu.await_client();
        panic(&qemu);
        assert_eq!(watcher.expect("captured")["result"], result);
    }
}

#[test]
fn a_capture_that_is_killed_is_tried_again() {
    let dump = DumpPlan::Stalls(3 * MIB);
    let qemu = ScriptedQemu::start(Script { dump, ..Script::default() });
    let host = Host::new([&qemu]);
    // It waits for its dump longer than it may.
    let mut watcher = host.watch("capture-limit = \"500ms\"\n");
    let failed = watcher.expect_that("captured", |record| record["result"] == "failed");
    assert!(failed["message"].as_str().unwrap().contains("SIGTERM"), "{failed}");
    qemu.mend();
    watcher.expect_that("captured", |record| record["result"] == "complete");
    assert_eq!(host.listing().entries.len(), 1);
}

#[test]
fn sigterm_ends_the_captures_that_take_too_long_and_hands_the_guest_back() {
    let dump = DumpPlan::Stalls(3 * MIB);
    let qemu = ScriptedQemu::start(Script { dump, ..Script::default() });
    let host = Host::new([&qemu]);
    let watcher = host.watch(&format!("stop-within = \"300ms\"\n{RESUME}"));
    qemu.await_stall();
    let seen = watcher.stop();
    assert_eq!(qemu.run_state(), "running");
    let captured = seen.iter().find(|record| record["event"] == "captured").expect("a result");
    assert_eq!(captured["result"], "released-without-dump", "{captured}");
    assert_eq!(host.listing().incomplete.len(), 1);
}

#[test]
fn sigterm_waits_for_captures_and_leaves_what_waits_held_as_the_policy_says() {
    let slow =
        Script { name: Some("slow".to_owned()), delay: ["query-name"].into(), ..Script::default() };
    let held = Script { name: Some("held".to_owned()), ..Script::default() };
    let (slow, held) = (ScriptedQemu::start(slow), ScriptedQemu::start(held));
    slow.answer_all();
    let host = Host::new([&slow, &held]);
    let mut watcher = host.watch("\n[guards]\ncaptures = 1\ndumping = 1\n");
    watcher.expect("captured");
    watcher.signal(Signal::TERM);
    let (code, _) = watcher.end();
    assert_eq!(code, Some(0));
    // Both are held, by their policy, and what was not captured is captured by the next watcher.
    let before = host.listing().entries.len();
    let mut watcher = host.watch("");
    watcher.expect("started");
    if before == 1 {
        watcher.expect("captured");
    }
    watcher.stop();
    assert_eq!(host.listing().entries.len(), 2);
    assert_eq!((slow.run_state().as_str(), held.run_state().as_str()), (PANICKED, PANICKED));
}

#[test]
fn sigterm_hands_back_what_waits_with_its_report() {
    let stalls = Script { dump: DumpPlan::Stalls(3 * MIB), ..Script::default() };
    let name = Some("waits".to_owned());
    let stalls = ScriptedQemu::start(stalls);
    let waits = ScriptedQemu::start(Script { name, state: "running", ..Script::default() });
    let host = Host::new([&stalls, &waits]);
    let guards = "\n[guards]\ncaptures = 1\ndumping = 1\n";
    let mut watcher = host.watch(&format!("stop-within = \"5s\"\n{RESUME}{guards}"));
    stalls.await_stall();
    waits.await_command("query-status");
    panic(&waits);
    watcher.expect_that("panic", |record| record["guest"] == "waits");
    watcher.signal(Signal::TERM);
    let handed_back = watcher.expect_that("captured", |record| record["guest"] == "waits");
    assert_eq!(handed_back["left_out"], "the watcher stops", "{handed_back}");
    assert_eq!(waits.run_state(), "running");
    stalls.kill();
    assert_eq!(watcher.end().0, Some(0));
}

#[test]
fn a_guest_that_is_polled_keeps_its_monitor_free() {
    let qemu = ScriptedQemu::start(running());
    let mut host = Host::new([&qemu]);
    host.poll = Some("100ms");
    let mut watcher = host.watch(RESUME);
    qemu.await_commands("query-status", 2);
    qemu.await_no_client();
    panic(&qemu);
    assert_eq!(watcher.expect("captured")["result"], "complete");
    assert_eq!(qemu.run_state(), "running");
    watcher.stop();
}

#[test]
fn sighup_reads_the_configuration_again_and_keeps_the_old_one_if_it_is_bad() {
    let qemu = ScriptedQemu::start(running());
    let host = Host::new([&qemu]);
    let mut watcher = host.watch("");
    await_watched(&qemu);
    host.configure("stor = 1\n");
    watcher.signal(Signal::HUP);
    let bad = watcher.expect("reload");
    let message = bad["message"].as_str().unwrap();
    assert!(
        message.contains("stays as it was") && message.contains("unknown field `stor`"),
        "{bad}"
    );
    host.configure(RESUME);
    watcher.signal(Signal::HUP);
    watcher.expect_that("reload", |record| record["level"] == "info");
    watcher.expect_that("watched", |record| record["message"].as_str().unwrap().contains("resume"));
    qemu.await_client();
    panic(&qemu);
    watcher.expect("captured");
    assert_eq!(qemu.run_state(), "running");
}

#[test]
fn a_second_watcher_of_a_store_is_refused() {
    let host = Host::new([]);
    let mut watcher = host.watch("");
    watcher.expect("started");
    let config = host.configure("");
    tool::run(["watch", "--config", config.to_str().unwrap()])
        .expect(1)
        .says("another watcher uses the store")
        .says("hint: end it");
    watcher.stop();
}

#[test]
fn sockets_come_and_go() {
    let first = ScriptedQemu::start(running());
    let host = Host::new([&first]);
    let mut watcher = host.watch(RESUME);
    watcher.expect("watched");
    first.kill();
    watcher.expect("source");
    drop(first);
    // Its socket is not listened at, or not there, and the watcher goes on.
    watcher.expect_none("captured", Duration::from_millis(300));
    watcher.stop();
}

#[test]
fn a_monitor_that_another_client_has_is_reported_once_and_tried_again() {
    let qemu = ScriptedQemu::start(Script { greets: false, ..Script::default() });
    let host = Host::new([&qemu]);
    let mut watcher = host.watch(RESUME);
    let busy = watcher.expect("source");
    assert!(busy["message"].as_str().unwrap().contains("stayed silent"), "{busy}");
    qemu.mend();
    assert_eq!(watcher.expect("captured")["result"], "complete");
}

#[test]
fn metrics_notifications_and_the_service_manager() {
    let qemu = ScriptedQemu::start(Script::default());
    let host = Host::new([&qemu]);
    let (out, metrics) = (host.path("notified"), host.path("vmcorectl.prom"));
    let script = host.path("notify");
    fs::write(
        &script,
        format!(
            "cat > {0}.new; echo \"$VMCORECTL_ENTRY\" > {0}.entry; \
             echo \"$VMCORECTL_URL\" > {0}.url; mv {0}.new {0}",
            out.display()
        ),
    )
    .unwrap();
    let manager = UnixDatagram::bind(host.path("manager")).unwrap();
    let config = host.configure(&format!(
        "notify = [\"/bin/sh\", {script:?}]\nnotify-once = \"signature\"\n\
             upload = \"s3://cores/prefix/\"\nmetrics = {metrics:?}\n{RESUME}"
    ));
    let socket = format!("NOTIFY_SOCKET={}", host.path("manager").display());
    let mut watcher = Watcher::start(&config, &["env", &socket, "WATCHDOG_USEC=3600000000"]);
    let entry = watcher.expect("captured")["entry"].as_str().unwrap().to_owned();
    watcher.stop();
    let notified: serde_json::Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(notified["guest"]["name"], "web-3");
    assert_eq!(fs::read_to_string(host.path("notified.entry")).unwrap().trim(), entry);
    let url = fs::read_to_string(host.path("notified.url")).unwrap();
    let id = entry.rsplit_once('/').unwrap().1;
    assert_eq!(url.trim(), format!("s3://cores/prefix/web-3/{id}"));
    let metrics = fs::read_to_string(metrics).unwrap();
    for line in [
        "vmcorectl_panics_total{guest=\"web-3\"} 1",
        "vmcorectl_captures_total{result=\"complete\"} 1",
        "vmcorectl_queued_guests 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
    let mut heard = Vec::new();
    manager.set_nonblocking(true).unwrap();
    let mut bytes = [0; 512];
    while let Ok(count) = manager.recv(&mut bytes) {
        heard.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
    }
    assert_eq!(heard[0], "READY=1");
    assert!(heard.iter().any(|text| text == "WATCHDOG=1"));
    assert!(heard.iter().any(|text| text.starts_with("STATUS=")));
    assert_eq!(heard.iter().filter(|text| *text == "STOPPING=1").count(), 1);
}

#[test]
fn check_prints_the_policy_of_each_guest_and_the_line_of_a_mistake() {
    let qemu = ScriptedQemu::start(running());
    let host = Host::new([&qemu]);
    let config = host
        .configure("\n[[policy]]\nguests = [\"web-*\"]\nthen = \"reset\"\nmax-hold = \"90s\"\n");
    let config = config.to_str().unwrap();
    let checked = tool::run(["watch", "--check", "--config", config]).expect(0);
    let line = checked.stdout.lines().find(|line| line.starts_with("web-3")).expect("the guest");
    for cell in ["running", "reset", "1 min 30 s", qemu.socket().to_str().unwrap()] {
        assert!(line.contains(cell), "{cell} is not in {line}");
    }
    assert!(qemu.actions().is_empty(), "{:?}", qemu.actions());
    host.configure("\nnotify-timeout = \"soon\"\n");
    tool::run(["watch", "--check", "--config", config])
        .expect(2)
        .says("vmcorectl.toml:5: \"soon\" does not begin with a number")
        .says("hint: ");
    tool::run(["watch", "--config", "/no/such/file"]).expect(2).says("cannot read it");
}

#[test]
fn a_panic_that_a_hook_reports_as_lost_is_an_entry_unless_the_guest_was_captured() {
    let qemu = ScriptedQemu::start(Script::default());
    let host = Host::new([&qemu]);
    let mut watcher = host.watch(RESUME);
    watcher.expect("captured");
    let spool = host.path("spool");
    let hook = |guest: &str| {
        let arguments = [guest, "release", "end", "crashed"];
        let spool = ["hook", "--spool", spool.to_str().unwrap(), "libvirt"];
        tool::run(spool.iter().chain(&arguments)).expect(0);
    };
    // Its memory was captured, and libvirt ended it afterwards.
    hook("web-3");
    hook("db-1");
    let lost = watcher.expect("lost");
    assert_eq!(lost["guest"], "db-1", "{lost}");
    watcher.stop();
    let listing = host.listing();
    assert_eq!(listing.entries.len(), 2, "{listing:?}");
    let metadata = metadata_of(&listing.entries[0]);
    assert_eq!((metadata.guest.name.as_deref(), metadata.core), (Some("db-1"), None));
    assert!(fs::read_dir(&spool).unwrap().next().is_none(), "events are left");
}
