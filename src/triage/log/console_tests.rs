use super::*;
use vmcore_formats::printk::Caller;

fn texts(log: &str) -> Vec<String> {
    records(log.as_bytes()).iter().map(|r| String::from_utf8_lossy(&r.text).into_owned()).collect()
}

#[test]
fn what_precedes_a_text_is_read() {
    let record = &records(b"Nov 24 12:00:01 host kernel: <12>[   12.345678][ T1234]  text")[0];
    assert_eq!(record.time_ns, Some(12_345_678_000));
    assert_eq!(record.level, Some(4));
    assert_eq!(record.caller, Some(Caller::Thread(1234)));
    assert_eq!(record.text, b" text");
    let record = &records(b"[    0.000001][    C3] text")[0];
    assert_eq!(record.caller, Some(Caller::Cpu(3)));
    assert_eq!(record.text, b"text");
    let record = &records(b"2026-11-24T12:00:01+00:00 host kernel: [1.000000] text\r")[0];
    assert_eq!((record.time_ns, record.text.as_slice()), (Some(1_000_000_000), b"text".as_slice()));
}

#[test]
fn a_line_with_two_records_becomes_two() {
    assert_eq!(texts("login: [    1.000000] a"), ["login: ", "a"]);
    assert_eq!(texts("** 12 printk messages dropped ** [    1.000000] a"), ["a"]);
    assert_eq!(texts("[    1.000000] a[    1.000001] b\n\nc"), ["a", "b", "", "c"]);
}

#[test]
fn what_only_looks_like_a_prefix_is_text() {
    for text in ["[1.5] x", "[ T12] x", "<x> y", "[<ffffffff81000000>] f", "** x", "Nov 24 no"] {
        assert_eq!(texts(text), [text]);
    }
}

#[test]
fn the_rest_of_a_record_that_was_cut_is_put_back() {
    let log = "[    1.000000]  [<81>] foo_wa[    2.000000] uart: busy\nit_done+0x9/0x10\n[    1.000001] b";
    assert_eq!(texts(log), [" [<81>] foo_wait_done+0x9/0x10", "uart: busy", "b"]);
    // Others may be between, and a frame that is whole is left alone.
    let log = "[    1.000000] foo_[    2.000000] uart: busy\n[    2.000001] a\nwait+0x9/0x10 [bar]";
    assert_eq!(texts(log), ["foo_wait+0x9/0x10 [bar]", "uart: busy", "a"]);
    let log = "[    1.000000] RIP: 0010:fo[    2.000000] uart: busy\no+0x9/0x10";
    assert_eq!(texts(log), ["RIP: 0010:foo+0x9/0x10", "uart: busy"]);
    let log = "[    1.000000] Call Tr[    2.000000] uart: busy\nace:";
    assert_eq!(texts(log), ["Call Trace:", "uart: busy"]);
    let log = "[    1.000000] foo+0x1/0x2[    2.000000] uart: busy\nlogin: ";
    assert_eq!(texts(log), ["foo+0x1/0x2", "uart: busy", "login: "]);
}

#[test]
fn lines_are_counted_as_editors_do() {
    let log = "\n\n\n[    1.000000] a[    1.000001] b\r\n[    1.000002] c\\nd\n";
    let lines: Vec<_> = records(log.as_bytes()).iter().map(|record| record.line).collect();
    assert_eq!(lines, [1, 4, 4, 5, 5]);
}

#[test]
fn the_newest_line_may_be_the_first() {
    let log: String = (0..8).rev().map(|at| format!("[    1.00000{at}] {at}\n")).collect();
    assert_eq!(texts(&log).concat(), "01234567");
    let log = " </TASK>\n f\n <TASK>\nCall Trace:\nHardware name: x\nCPU: 1 PID: 2 Comm: x\n";
    assert_eq!(texts(log).first().map(String::as_str), Some("CPU: 1 PID: 2 Comm: x"));
}

#[test]
fn empty_lines_cost_nothing() {
    assert_eq!(records(&vec![b'\n'; 1 << 20]).len(), 1);
}
