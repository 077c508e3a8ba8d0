//! What is told of a capture under way: progress on a terminal, steps where asked.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::core_stream::MIB;
use crate::scripted_qemu::{DumpPlan, Script, TEST_TIMEOUT};
use crate::setting::{Setting, finish};
use crate::tool;

/// A terminal of 120 columns: who looks at it, and who writes to it.
pub(crate) fn terminal() -> (File, File) {
    let seen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&seen).unwrap();
    unlockpt(&seen).unwrap();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let written = ioctl_tiocgptpeer(&seen, flags).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&written, size).unwrap();
    (seen.into(), written.into())
}

#[test]
fn a_terminal_shows_bytes_rate_ratio_and_the_time_that_is_left() {
    let setting = Setting::new(Script { dump: DumpPlan::Stalls(3 * MIB), ..Script::default() });
    let (mut seen, written) = terminal();
    let mut command = tool::command(setting.arguments(&["--max-hold", "3s", "--resume"]));
    let child =
        command.env("TERM", "xterm").stdout(Stdio::piped()).stderr(written).spawn().unwrap();
    drop(command);
    let mut text = String::new();
    let started = Instant::now();
    let mut bytes = [0; 4096];
    // A terminal that nobody has open any more is an error for who reads it.
    while let Ok(count @ 1..) = seen.read(&mut bytes) {
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        assert!(started.elapsed() < TEST_TIMEOUT, "{text}");
    }
    for shown in ["dump ", "3.00 MiB/5.63 MiB", " GiB/s to ", " %", " ETA "] {
        assert!(text.contains(shown), "{shown:?} is not in {text}");
    }
    let end = "error: the longest hold of 3.0s was reached";
    assert!(text.rsplit('\r').any(|line| line.contains(end)), "{text}");
    finish(child).expect(3);
}

#[test]
fn progress_is_for_terminals_alone_and_steps_for_verbose() {
    let setting = Setting::new(Script::default());
    let told = setting.capture(&["--resume"]).expect(0).stderr;
    assert_eq!(told, "title: guest panicked (no log)\n");
    let setting = Setting::new(Script::default());
    let told = setting.capture(&["--resume", "--verbose"]).expect(0).stderr;
    let steps = [
        "connected to QEMU 7.2.22",
        "the guest is held: it had panicked before",
        "the entry goes to ",
        "the memory comes through QEMU's dump: this monitor does not show where QEMU has ",
        "the dump begins",
        "the dump is whole",
        "the guest was released (resume): running",
        "the core is on the disk",
        "published ",
    ];
    let told = told.strip_suffix("title: guest panicked (no log)\n").expect("the title");
    assert_eq!(told.lines().count(), steps.len(), "{told}");
    for (line, step) in told.lines().zip(steps) {
        let (time, text) = line.split_once(' ').expect("a time");
        let time: jiff::Timestamp = time.parse().expect("a time");
        let age = jiff::Timestamp::now().duration_since(time);
        assert!(age.unsigned_abs() < Duration::from_mins(5) && text.starts_with(step), "{line}");
    }
}

#[test]
fn a_capture_does_without_a_sites_families_that_cannot_be_had() {
    let setting = Setting::new(Script::default());
    let ran = setting.capture(&["--families", "/nowhere/families.txt"]).expect(0);
    ran.says("cannot read /nowhere/families.txt").says("the built-in families");
}
