//! One crash, as everybody's tools show it.

use super::*;
use crate::triage::log::console;

/// The lines of a report.
const REPORT: [&str; 16] = [
    "BUG: kernel NULL pointer dereference, address: 0000000000000020",
    "#PF: supervisor write access in kernel mode",
    "Oops: 0002 [#1] PREEMPT SMP NOPTI",
    "CPU: 1 PID: 42 Comm: kworker/u8:3 Not tainted 6.8.0-31-generic #31-Ubuntu",
    "Hardware name: Acme \"Box\"/B2, BIOS 2.1 05/05/2021",
    "RIP: 0010:acme_queue_take+0x1f/0x60 [acme]",
    "RAX: 0000000000000000 RBX: ffff9a8740a3f000 RCX: 0000000000000000",
    "Call Trace:",
    " <TASK>",
    " ? __die+0x24/0x70",
    " acme_work_fn+0x4c/0x190 [acme]",
    " process_one_work+0x18b/0x3a0",
    " kthread+0xf1/0x120",
    " </TASK>",
    "Modules linked in: acme(OE) xfs",
    "---[ end trace 0000000000000000 ]---",
];

fn stamped(at: usize) -> String {
    format!("[ 1234.5000{at:02}] ")
}

#[track_caller]
fn is_found(log: &[u8]) {
    let shown = || String::from_utf8_lossy(log.get(..log.len().min(300)).unwrap()).into_owned();
    let crash =
        of(&console::records(log), Families::built_in()).unwrap_or_else(|| panic!("{}", shown()));
    let title = "BUG: unable to handle kernel NULL pointer dereference in acme_queue_take";
    assert_eq!(crash.title, title, "{}", shown());
    assert_eq!(crash.module.as_deref(), Some("acme"), "{}", shown());
    assert_eq!(crash.details.comm.as_deref(), Some("kworker/u8:3"), "{}", shown());
    let kernel = crash.details.kernel.as_deref();
    assert_eq!(kernel, Some("6.8.0-31-generic #31-Ubuntu"), "{}", shown());
    assert!(!crash.corrupted, "{}", shown());
}

/// Finds the crash where each line is put into something.
#[track_caller]
fn each(put: impl Fn(usize, &str) -> String) {
    let log: String = REPORT.iter().enumerate().map(|(at, line)| put(at, line) + "\n").collect();
    is_found(log.as_bytes());
}

#[test]
fn dmesg_has_many_stamps() {
    each(|_, line| format!("[Fri Nov 14 10:11:12 2025] {line}"));
    each(|at, line| format!("[ 1234.5000{at:02} <    0.000013>] {line}"));
    each(|at, line| format!("{} {line}", if at == 0 { "[Nov14 10:11]" } else { "[  +0.000012]" }));
    each(|at, line| {
        let level = if at < 3 { "alert" } else { "warn" };
        format!("kern  :{level:<6}: {}{line}", stamped(at))
    });
    each(|at, line| format!("2025-11-14T10:11:12,5000{at:02}+01:00 {line}"));
    each(|at, line| format!("4,{},12345000{at:02},-,caller=T42;{line}", 900 + at));
}

#[test]
fn journals_and_syslogs_have_more() {
    each(|_, line| format!("Nov 14 10:11:12 box kernel: {line}"));
    each(|at, line| format!("14. Nov 10:11:12 box kernel: {}{line}", stamped(at)));
    for day in ["нояб. 14", "févr. 14", "11月 14", "Mär 14"] {
        each(|_, line| format!("{day} 10:11:12 box kernel: {line}"));
    }
    each(|at, line| format!("[ 1234.5000{at:02}] box kernel: {line}"));
    each(|at, line| format!("1763111472.5000{at:02} box kernel: {line}"));
    each(|_, line| format!("<4>1 2025-11-14T10:11:12Z box kernel - - - {line}"));
    each(|at, line| format!("Fri Nov 14 10:11:12 2025 kern.warn kernel: {}{line}", stamped(at)));
    each(|at, line| {
        format!("    _TRANSPORT=kernel\n    PRIORITY=4\n    MESSAGE={line}\n    _PID={at}")
    });
    each(|_, line| format!("box kernel: {line}"));
    each(|_, line| format!("kernel: {line}"));
}

#[test]
fn containers_phones_and_hypervisors_have_their_own() {
    each(|at, line| format!("2025-11-14T10:11:12.0000000{at:02}Z {line}"));
    each(|at, line| format!("guest-1  | {}{line}", stamped(at)));
    each(|at, line| {
        let level = if at < 3 { "alert" } else { "warning" };
        format!("10.5.0.2: kern: {level:>7}: [2025-11-14T10:11:12.0000000{at:02}Z]: {line}")
    });
    each(|at, line| format!("11-14 10:11:12.0{at:02}     0     0 W         : {line}"));
    each(|at, line| format!("<4>{}({})[{}:kworker/u8:3]{line}", stamped(at), at % 3, 42 + at % 2));
    each(|at, line| format!("(d12) {}{line}", stamped(at)));
    each(|at, line| format!("Nov 14 10:11:12 host qemu-console[991]: {}{line}", stamped(at)));
}

#[test]
fn consoles_servers_and_copies_have_stamps_and_numbers() {
    each(|_, line| format!("[Fri Nov 14 10:11:12 2025]{line}"));
    each(|at, line| format!("10:11:12.0{at:02}> {}{line}", stamped(at)));
    each(|at, line| format!("{}:{}{line}", 812 + at, stamped(at)));
    each(|at, line| format!("{:6}\t{line}", at + 1));
}

#[test]
fn collectors_put_messages_into_records() {
    let quoted = |line: &str| line.replace('"', "\\\"");
    each(|at, line| {
        format!(
            "time=\"2025-11-14T10:11:12Z\" level=info msg=\"{}{}\" line={at}",
            stamped(at),
            quoted(line)
        )
    });
    each(|at, line| {
        let line = quoted(line);
        format!(
            "{{\"PRIORITY\":\"4\",\"SYSLOG_IDENTIFIER\":\"kernel\",\"MESSAGE\":\"{line}\",\"N\":{at}}}"
        )
    });
    each(|at, line| {
        format!("{{\"stream\":\"stdout\",\"log\":\"{}{}\\n\"}}", stamped(at), quoted(line))
    });
    let all: Vec<_> = REPORT.iter().map(|line| quoted(line)).collect();
    is_found(format!("{{\"reason\":\"panic\",\"log\":\"{}\"}}", all.join("\\n")).as_bytes());
}

#[test]
fn people_quote_indent_and_paint() {
    each(|_, line| format!("> > {line}"));
    each(|at, line| format!(">> {}{line}", stamped(at)));
    each(|at, line| format!("    {}{line}", stamped(at)));
    each(|_, line| format!("| {line:<90} |"));
    each(|at, line| format!("\x1b[32m{}\x1b[0m\x1b[31m{line}\x1b[0m", stamped(at)));
    each(|at, line| format!("^[[0;1;31m{}{line}^[[0m", stamped(at)));
    each(|at, line| format!("[32m{}[0m[31m{line}[0m", stamped(at)));
    each(|at, line| {
        let line = line.replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        format!("<span class=\"t\">{}</span>{line}<br>", stamped(at))
    });
}

#[test]
fn lines_end_in_many_ways() {
    for end in ["\r\n", "\r\r\n", "\r", "\\r\\n", "\\n", "#012", "^M\n"] {
        is_found(REPORT.join(end).as_bytes());
    }
}

#[test]
fn windows_writes_utf_16() {
    let log = REPORT.join("\r\n");
    let little = log.encode_utf16().flat_map(u16::to_le_bytes);
    is_found(&[0xff, 0xfe].into_iter().chain(little.clone()).collect::<Vec<_>>());
    is_found(&little.collect::<Vec<_>>());
    let big = log.encode_utf16().flat_map(u16::to_be_bytes);
    is_found(&[0xfe, 0xff].into_iter().chain(big).collect::<Vec<_>>());
}

#[test]
fn what_a_prefix_says_is_no_title() {
    let log: String =
        REPORT.iter().skip(2).map(|line| format!("myhost kernel: {line}\n")).collect();
    let crash = of(&console::records(log.as_bytes()), Families::built_in()).unwrap();
    assert_eq!(crash.title, "kernel oops (header lost) in acme_queue_take");
}

#[test]
fn frames_that_cannot_be_read_are_counted_and_make_no_bucket() {
    // What nothing certain is near cannot be learnt.
    let log =
        "WARNING: CPU: 1 PID: 42 at net/acme.c:12\nq1w#e acme_a+0x1/0x2 #\nz#! acme_b+0x1/0x2 #\n";
    let crash = of(&console::records(log.as_bytes()), Families::built_in()).unwrap();
    assert_eq!((crash.frame.as_deref(), crash.title.as_str()), (None, "WARNING in corrupted"));
    assert_eq!(crash.evidence.unread_frames, Some(2));
    assert_eq!(crash.signature.bucket(), None);
    let read = of(&console::records(REPORT.join("\n").as_bytes()), Families::built_in()).unwrap();
    assert_eq!(read.evidence.unread_frames, None);
    assert_eq!(read.signature.bucket(), Some(read.signature.id.as_str()));
}

#[test]
fn a_programs_line_is_no_event_of_the_kernel() {
    for line in [
        "Nov 14 10:11:12 web cached: BUG: the cache is empty",
        "Nov 14 10:11:12 web cached[7]: Kernel panic - not syncing: only a test",
        "2025-11-14T10:11:13+00:00 web queued 123 - - BUG: the queue is full",
        "<14>1 2025-11-14T10:11:13Z web queued - - - BUG: the queue is full",
        "[ 1234.567890] web cached[7]: BUG: the cache is empty",
        "E1114 10:11:12.203531   12345 cached.go:83] Kernel panic - not syncing: only a test",
        "2025-11-14 10:11:12.123  INFO 1 --- [main] app : BUG: the cache is empty",
        "time=\"2025-11-14T10:11:12Z\" level=error msg=\"BUG: the cache is empty\" app=cached",
        "{\"SYSLOG_IDENTIFIER\":\"cached\",\"MESSAGE\":\"BUG: unable to handle page fault\"}",
        "{\"SYSLOG_IDENTIFIER\":\"cached\",\"MESSAGE\":\"BUG: the cache is empty\"}",
        "Nov 14 10:11:11 web kernel: usb 1-1: new device\nNov 14 10:11:12 web my app: BUG: empty",
        "[ 1234.5] x\nnov. 14 10:11:12 web cached[7]: WARNING: at a.c:1 f+0x1/0x2\nRIP: 0010:f+0x1/0x2",
    ] {
        let crash = of(&console::records(line.as_bytes()), Families::built_in());
        assert!(crash.is_none(), "{line}: {:?}", crash.map(|crash| crash.title));
    }
}
