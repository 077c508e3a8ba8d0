//! A stderr that takes no more: a terminal that is stopped, a pipe that nobody reads.

use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::core_stream::MIB;
use crate::scripted_qemu::{DumpPlan, Script};
use crate::setting::{Setting, finish};
use crate::tool;

/// Starts a capture whose stderr is a pipe that is full, and that nobody reads.
fn start_unheard(setting: &Setting, more: &[&str]) -> (Child, OwnedFd) {
    let (unread, full) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let flags = fcntl_getfl(&full).unwrap();
    fcntl_setfl(&full, flags | OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&full, &[b'x'; 4096]).is_ok() {}
    fcntl_setfl(&full, flags).unwrap();
    let mut command = tool::command(setting.arguments(more));
    let child = command.stdout(Stdio::piped()).stderr(full).spawn().unwrap();
    (child, unread)
}

#[test]
fn an_unread_stderr_holds_no_guest() {
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let (child, _unread) = start_unheard(&setting, &["--resume", "--verbose"]);
    setting.qemu.await_run_state("running");
    let ran = finish(child).expect(0);
    assert_eq!(ran.entry(), setting.listing().entries[0]);
    let held = setting.whole_entry(&stream).held_seconds.unwrap();
    assert!(held < 60.0, "{held} s");
}

#[test]
fn the_hold_ends_in_time_with_unread_messages() {
    let script = Script { dump: DumpPlan::Stalls(3 * MIB), ..Script::default() };
    let setting = Setting::new(script);
    let more = ["--max-hold", "1s", "--resume", "--verbose"];
    let (child, _unread) = start_unheard(&setting, &more);
    let started = Instant::now();
    setting.qemu.await_command("cont");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    finish(child).expect(3);
    assert_eq!(setting.qemu.run_state(), "running");
}
