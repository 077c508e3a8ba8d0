use super::*;
use crate::triage::crash::headers;
use crate::triage::log::console;
use crate::triage::log::lines;

fn chosen(log: &str) -> Option<String> {
    let records = console::records(log.as_bytes());
    let lines = lines(&records);
    let headers = headers(&lines);
    choose(&lines, &headers).map(|choice| headers[choice.header].class.clone())
}

const WARNING: &str = "[    1.000000][  T1] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n[    1.000001][  T1] ---[ end trace 0 ]---\n";

#[test]
fn an_old_warning_is_not_the_cause_of_an_oops() {
    let log = format!(
        "{WARNING}[   99.000000][  T5] BUG: kernel NULL pointer dereference, address: 0\n[   99.000500][  T5] Kernel panic - not syncing: Fatal exception\n"
    );
    assert_eq!(
        chosen(&log).as_deref(),
        Some("BUG: unable to handle kernel NULL pointer dereference")
    );
}

#[test]
fn headers_of_one_death_are_one_event() {
    let log = "[    9.000000] kernel BUG at a.c:1!\n[    9.000001] invalid opcode: 0000 [#1]\n[    9.000002] Kernel panic - not syncing: Fatal exception\n";
    assert_eq!(chosen(log).as_deref(), Some("kernel BUG"));
}

#[test]
fn another_callers_event_is_passed_over() {
    let log = "[    9.000000][  T5] general protection fault: 0000 [#1]\n[    9.000001][  T6] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n[    9.000002][  T6] Kernel panic - not syncing: kernel: panic_on_warn set ...\n";
    assert_eq!(chosen(log).as_deref(), Some("WARNING"));
}

#[test]
fn a_panic_of_its_own_is_the_event() {
    let log = format!(
        "{WARNING}[   99.000000][  T5] Kernel panic - not syncing: sysrq triggered crash\n"
    );
    assert_eq!(chosen(&log).as_deref(), Some("kernel panic: sysrq triggered crash"));
}

#[test]
fn of_hung_tasks_the_first_within_three_periods_counts() {
    let report = |time: u32| {
        format!("[{time:5}.000000] INFO: task x:{time} blocked for more than 100 seconds.\n")
    };
    let log = format!(
        "{}{}{}[ 1000.000001] Kernel panic - not syncing: hung_task: blocked tasks\n",
        report(10),
        report(800),
        report(1000)
    );
    let records = console::records(log.as_bytes());
    let lines = lines(&records);
    let headers = headers(&lines);
    assert_eq!(choose(&lines, &headers).map(|choice| choice.header), Some(1));
}

#[test]
fn without_a_panic_an_oops_counts_for_more_than_what_went_before() {
    let log = format!("{WARNING}[   99.000000][  T5] kernel BUG at a.c:1!\n");
    assert_eq!(chosen(&log).as_deref(), Some("kernel BUG"));
}

#[test]
fn without_a_panic_the_first_event_counts_and_without_events_none() {
    assert_eq!(chosen(WARNING).as_deref(), Some("WARNING"));
    assert_eq!(chosen("[    1.000000] all is well\n"), None);
}
