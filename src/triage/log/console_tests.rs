use super::*;

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
