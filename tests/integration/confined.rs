//! Commands that parse what a guest wrote confine themselves before they do.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vmcorectl::sandbox::limits::{Limits, Reads};

use crate::scripted_qemu::TEST_TIMEOUT;
use crate::setting::finish;
use crate::tool;

/// A command that waits for a log on its standard input.
fn waiting(more: &[&str]) -> Child {
    let mut command = tool::command([&["explain", "--log", "-"], more].concat());
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    streams.spawn().unwrap()
}

fn file(of: &Child, name: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{name}", of.id())).unwrap()
}

/// Gives the command an empty log.
fn end(mut child: Child) {
    drop(child.stdin.take());
    finish(child).expect(1);
}

/// Waits until the command sleeps in a read of its standard input.
fn await_read(child: &Child) {
    let started = Instant::now();
    // The number of the call and its first argument; those of read and of descriptor 0.
    let reads = |call: String| call.starts_with("0 0x0 ") || call.starts_with("63 0x0 ");
    while !reads(file(child, "syscall")) {
        assert!(started.elapsed() < TEST_TIMEOUT, "it never reads");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_command_is_confined_before_it_reads() {
    let child = waiting(&[]);
    await_read(&child);
    let status = file(&child, "status");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let printed = file(&child, "limits");
    let limits = Limits::of_stored(0, Reads::Unlimited);
    let data = format!("Max data size             {} ", limits.memory());
    for limit in ["Max core file size        0", &data] {
        assert!(printed.contains(limit), "{limit}: {printed}");
    }
    end(child);
}

#[test]
fn no_sandbox_leaves_a_command_as_it_was_started() {
    let child = waiting(&["--no-sandbox"]);
    await_read(&child);
    assert_eq!(file(&child, "limits"), fs::read_to_string("/proc/self/limits").unwrap());
    end(child);
}

/// The system sends the signal when the time is up; the test does not wait for that.
#[test]
fn a_command_whose_processor_time_is_up_says_so() {
    let child = waiting(&[]);
    await_read(&child);
    kill_process(Pid::from_child(&child), Signal::XCPU).unwrap();
    finish(child).expect(1).says("error: the processor time that this may take is used up\nhint: ");
}
