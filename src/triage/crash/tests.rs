use proptest::prelude::*;

use super::*;
use crate::triage::core_stacks::CoreFrame;
use crate::triage::log::console;

fn crash(log: &str) -> Crash {
    of(&console::records(log.as_bytes()), Families::built_in()).unwrap()
}

const NULL: &str = "\
[   10.000000][  T77] BUG: kernel NULL pointer dereference, address: 0000000000000008
[   10.000001][  T77] #PF: supervisor read access in kernel mode
[   10.000002][  T77] Oops: 0000 [#1] SMP
[   10.000003][  T77] CPU: 1 PID: 77 Comm: x Not tainted 6.1.0 #1
[   10.000004][  T77] RIP: 0010:memcpy+0x12/0x20
[   10.000005][   T9] WARNING: CPU: 0 PID: 9 at a.c:1 another+0x1/0x2
[   10.000006][  T77] Call Trace:
[   10.000007][  T77]  <TASK>
[   10.000008][  T77]  ? stale+0x1/0x2
[   10.000009][  T77]  foo_read.isra.0+0x1/0x2
[   10.000010][  T77]  __x64_sys_read+0x1/0x2
[   10.000011][  T77]  </TASK>
[   10.000012][  T77] ---[ end trace 0 ]---
[   10.000013][  T77] Kernel panic - not syncing: Fatal exception
";

/// A stack out of a core.
fn stack(functions: &[&str]) -> Vec<CoreFrame> {
    let known = |name: &&str| CoreFrame { function: (*name).to_owned(), module: None };
    functions.iter().map(known).collect()
}

#[test]
fn the_first_function_that_no_family_covers_names_the_crash() {
    let crash = crash(NULL);
    assert_eq!(crash.title, "BUG: unable to handle kernel NULL pointer dereference in foo_read");
    assert_eq!(crash.alt_titles, ["bad-access in foo_read"]);
    assert_eq!(crash.frame.as_deref(), Some("foo_read"));
    assert_eq!(crash.pc_function.as_deref(), Some("memcpy"));
    assert_eq!(crash.r#type.as_deref(), Some("NULL-POINTER-DEREFERENCE"));
    assert_eq!(crash.panic_message.as_deref(), Some("Fatal exception"));
    assert!(!crash.corrupted && !crash.signature.weak);
    assert_eq!(crash.evidence.skipped[0].family, "mem");
    assert_eq!(crash.evidence.header.as_ref().unwrap().record, 0);
    assert_eq!(crash.others.len(), 1);
}

#[test]
fn a_modules_function_is_in_no_family() {
    let crash = crash(&NULL.replace("foo_read.isra.0+0x1/0x2", "kref_put+0x1/0x2 [bar]"));
    assert_eq!((crash.frame.as_deref(), crash.module.as_deref()), (Some("kref_put"), Some("bar")));
}

#[test]
fn where_every_function_is_a_guess_the_first_is_named_and_not_relied_on() {
    let guesses: String = NULL
        .lines()
        .map(|line| {
            let mark = if line.contains("stale") { "]  " } else { "]  ? " };
            line.replace("memcpy+0x12/0x20", "0x0").replace("]  ", mark) + "\n"
        })
        .collect();
    let named = crash(&guesses);
    assert_eq!(named.frame.as_deref(), Some("stale"));
    assert!(named.corrupted && named.signature.weak);
    // The core is sure.
    let stacks = CoreStacks { panicked: stack(&["panic", "foo_read"]), cpus: Vec::new() };
    let records = console::records(guesses.as_bytes());
    let sure = with_stacks(&records, Families::built_in(), &stacks).unwrap();
    assert_eq!(sure.frame.as_deref(), Some("foo_read"));
    assert!(sure.evidence.from_core && !sure.corrupted);
}

#[test]
fn who_panics_for_a_hung_task_is_not_taken_for_it() {
    let log = "[  100.000000][  T9] INFO: task x:1 blocked for more than 100 seconds.\n[  100.000001][  T9] Kernel panic - not syncing: hung_task: blocked tasks\n";
    let stacks = CoreStacks { panicked: stack(&["panic", "foo_watch"]), cpus: Vec::new() };
    let records = console::records(log.as_bytes());
    let crash = with_stacks(&records, Families::built_in(), &stacks).unwrap();
    assert!(crash.frame.is_none() && crash.corrupted, "{}", crash.title);
}

#[test]
fn a_report_that_is_cut_is_damaged_and_its_signature_weak() {
    let crash = crash(NULL.split("RIP").next().unwrap());
    assert!(crash.title.ends_with("in corrupted") && crash.corrupted && crash.signature.weak);
}

#[test]
fn an_oops_whose_header_was_rotated_out_is_named_by_its_register_dump_and_marked_damaged() {
    let behind = NULL.split_once("Not tainted 6.1.0 #1\n").unwrap().1;
    let old = "[    1.000000][  T77] RIP: 0010:another+0x1/0x2\n";
    let crash = crash(&format!("{old}{behind}"));
    assert_eq!(crash.title, "kernel oops (header lost) in foo_read");
    assert!(crash.alt_titles.is_empty(), "what kind of oops it was is lost, too");
    assert_eq!(crash.evidence.header.as_ref().unwrap().record, 1);
    assert!(crash.corrupted && crash.signature.weak);
}

#[test]
fn where_the_processor_was_is_all_that_a_lost_header_may_leave() {
    let log = "[   10.000000] RIP: 0010:memcpy+0x12/0x20\n[   10.000001] Kernel panic - not syncing: Fatal exception\n";
    assert_eq!(crash(log).title, "kernel oops (header lost) in memcpy");
}

#[test]
fn without_a_register_dump_the_panic_is_all_there_is() {
    let crash = crash("[   10.000000] Kernel panic - not syncing: Fatal exception\n");
    assert_eq!(crash.title, "kernel panic: Fatal exception");
    assert!(crash.corrupted);
}

#[test]
fn what_user_space_wrote_is_no_event() {
    for line in [
        "<30>[    1.000000] systemd[1]: BUG: unable to handle kernel NULL pointer dereference",
        "Nov 24 12:00:01 host sshd[12]: kernel BUG at mm/x.c:1!",
        "Nov  9 10:19:35 ohm openvpn[1118]: WARNING: Make sure you understand --tls-remote",
    ] {
        assert!(of(&console::records(line.as_bytes()), Families::built_in()).is_none(), "{line}");
    }
}

#[test]
fn plain_panics_are_distinguished_by_their_caller() {
    let log = "[   10.000000] Kernel panic - not syncing: it broke\n";
    let records = console::records(log.as_bytes());
    let of = |caller| {
        let stacks = CoreStacks { panicked: stack(&["panic", caller]), cpus: Vec::new() };
        with_stacks(&records, Families::built_in(), &stacks).unwrap()
    };
    assert_eq!(of("a").title, "kernel panic: it broke");
    assert_ne!(of("a").signature.id, of("b").signature.id);
    assert_eq!(of("a").signature.id, of("a.cold").signature.id);
}

#[test]
fn the_cores_stack_names_what_the_log_cannot() {
    let records = console::records(NULL.split("RIP").next().unwrap().as_bytes());
    let stacks = CoreStacks { panicked: stack(&["panic", "foo_read"]), cpus: Vec::new() };
    let crash = with_stacks(&records, Families::built_in(), &stacks).unwrap();
    assert!(crash.title.ends_with("in foo_read") && crash.evidence.from_core && !crash.corrupted);
}

#[test]
fn who_takes_part_in_a_deadlock_is_named_by_the_first_lock_taken() {
    let log = "WARNING: possible recursive locking detected\nx/1 is trying to acquire lock:\n1 (a){+.+.}, at: rtnl_lock+0x1/0x2\n";
    assert_eq!(crash(log).title, "possible deadlock in rtnl_lock");
}

#[test]
fn what_took_a_lock_is_named_although_taking_locks_is_what_it_does() {
    let log = "WARNING: held lock freed!\nx/1 is freeing memory 1-2, with a lock still held there!\n1 (a){+.+.}, at: mutex_lock_io+0x1/0x2\nCall Trace:\n foo_free+0x1/0x2\n";
    assert_eq!(crash(log).title, "WARNING: held lock freed in mutex_lock_io");
}

#[test]
fn bad_unlock_balance_names_the_function_on_its_own_line() {
    let log = "WARNING: bad unlock balance detected!\nx/1 is trying to release lock (a) at:\n[<ffffffff81000000>] foo_unlock+0x1/0x2\nbut there are no more locks to release!\n#0: 1 (b){+.+.}, at: other+0x1/0x2\nCall Trace:\n print_unlock_imbalance_bug+0x1/0x2\n bar+0x1/0x2\n";
    assert_eq!(crash(log).title, "WARNING: bad unlock balance in foo_unlock");
}

#[test]
fn an_inconsistent_lock_state_is_named_by_who_finds_it() {
    let log = "WARNING: inconsistent lock state\nx/1 takes:\n1 (a){+.?.}, at: foo_lock_it+0x1/0x2\nCall Trace:\n print_usage_bug+0x1/0x2\n _raw_spin_lock+0x1/0x2\n bar+0x1/0x2\n";
    assert_eq!(crash(log).title, "inconsistent lock state in bar");
}

#[test]
fn a_hung_task_is_named_by_what_it_waits_in() {
    let log = "INFO: task x:1 blocked for more than 120 seconds.\nCall Trace:\n __schedule+0x1/0x2\n schedule+0x1/0x2\n foo_wait_all+0x1/0x2\n foo_close+0x1/0x2\n";
    assert_eq!(crash(log).title, "INFO: task hung in foo_close");
}

#[test]
fn a_module_that_goes_round_is_named_although_an_interrupt_is_on_the_stack() {
    let log = "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [x:1]\nRIP: 0010:spin+0x1/0x2 [mod]\nCall Trace:\n <IRQ>\n asm_call_irq_on_stack+0x1/0x2\n </IRQ>\n sysvec_apic_timer_interrupt+0x1/0x2\n asm_sysvec_apic_timer_interrupt+0x1/0x2\nRIP: 0010:spin+0x1/0x2 [mod]\n caller+0x1/0x2 [mod]\n foo_write+0x1/0x2\n vfs_write+0x1/0x2\n ksys_write+0x1/0x2\n";
    let crash = crash(log);
    assert_eq!(crash.title, "BUG: soft lockup in spin");
}

#[test]
fn a_busy_processor_is_named_by_what_was_dispatched() {
    let log = "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [x:1]\nRIP: 0010:inner+0x1/0x2\nCall Trace:\n middle+0x1/0x2\n foo_write+0x1/0x2\n vfs_write+0x1/0x2\n ksys_write+0x1/0x2\n";
    let crash = crash(log);
    assert_eq!(crash.title, "BUG: soft lockup in foo_write");
    assert_eq!(crash.pc_function.as_deref(), Some("inner"));
}

/// What the CPU that found it prints, and whether the one that locked up could be asked.
const HARD: &str = "\
watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0
Modules linked in:
NMI
CPU: 1 PID: 9 Comm: x Not tainted 6.12.0 #1
Call trace:
 watchdog_buddy_check_hardlockup+0x1/0x2
 watchdog_timer_fn+0x1/0x2
 finder+0x1/0x2
Kernel panic - not syncing: Hard LOCKUP
";

#[test]
fn who_finds_a_hard_lockup_did_not_do_it() {
    let records = console::records(HARD.replace("NMI\n", "").as_bytes());
    let lost = of(&records, Families::built_in()).unwrap();
    assert_eq!(lost.title, "hard lockup in corrupted");
    assert!(lost.corrupted && lost.signature.weak && lost.frame.is_none());
    // The core has the stack of the CPU that the header names.
    let stuck = stack(&["spin", "foo_write", "vfs_write", "__arm64_sys_write", "el0_svc"]);
    let cpus = vec![(0, stuck), (1, stack(&["panic", "finder"]))];
    let stacks = CoreStacks { panicked: stack(&["panic", "finder"]), cpus };
    let crash = with_stacks(&records, Families::built_in(), &stacks).unwrap();
    assert_eq!(crash.title, "hard lockup in foo_write");
    assert!(crash.evidence.from_core && !crash.corrupted);
}

#[test]
fn the_cpu_that_locked_up_is_asked_by_nmi_if_that_can_be() {
    let told = "NMI backtrace for cpu 0\nCPU: 0 PID: 7 Comm: y Not tainted 6.12.0 #1\npc : spin+0x1/0x2\nCall trace:\n spin+0x1/0x2\n foo_write+0x1/0x2\n vfs_write+0x1/0x2\nNMI backtrace for cpu 2\nCPU: 2 PID: 0 Comm: z\n other+0x1/0x2\n vfs_read+0x1/0x2\n";
    let crash = crash(&HARD.replace("NMI\n", told));
    assert_eq!(crash.title, "hard lockup in foo_write");
    assert_eq!(crash.pc_function.as_deref(), Some("spin"));
}

#[test]
fn a_nmi_in_a_modules_loop_is_passed_over_on_the_cores_stack() {
    let mut stuck = stack(&["nmi_handle", "exc_nmi", "asm_exc_nmi", "by_loop", "vfs_write"]);
    stuck[3].module = Some("mod".to_owned());
    let stacks = CoreStacks { panicked: Vec::new(), cpus: vec![(0, stuck)] };
    let records = console::records(HARD.replace("NMI\n", "").as_bytes());
    let crash = with_stacks(&records, Families::built_in(), &stacks).unwrap();
    assert_eq!((crash.frame.as_deref(), crash.module.as_deref()), (Some("by_loop"), Some("mod")));
}

#[test]
fn what_leaks_to_a_device_is_known_by_where_it_came_from_too() {
    let log = "BUG: KMSAN: kernel-usb-infoleak in usb_submit_urb+0x1/0x2\n usb_submit_urb+0x1/0x2\n foo_send+0x1/0x2\n\nUninit was created at:\n kmalloc_trace+0x1/0x2\n foo_alloc+0x1/0x2\n\nBytes 4-15 of 16 are uninitialized\n";
    let crash = crash(log);
    assert_eq!(crash.title, "KMSAN: kernel-usb-infoleak in foo_send");
    assert_eq!(crash.alt_titles, ["KMSAN origin in foo_alloc"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bytes_of_any_kind_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = of(&console::records(&bytes), Families::built_in());
    }

    #[test]
    fn pieces_of_reports_in_any_order_are_survived(pieces in proptest::collection::vec(0_usize..PIECES.len(), 0..60)) {
        let log: String = pieces.iter().filter_map(|at| PIECES.get(*at)).copied().collect();
        let _ = of(&console::records(log.as_bytes()), Families::built_in());
    }
}

/// What reports are made of, also where it ends too early.
const PIECES: [&str; 27] = [
    "\n",
    "[    1.000000] ",
    "[   T12] ",
    "BUG: ",
    "WARNING: ",
    "INFO: ",
    "KASAN: ",
    "CPU: 0 PID: 1 at ",
    "a.c:1 ",
    "f+0x1/0x2",
    " in ",
    "RIP: 0010:",
    "Call Trace:\n",
    " [<81>] (f) from ",
    "? ",
    "at: [<81>] ",
    "[m]",
    "Kernel panic - not syncing: ",
    "Fatal exception",
    "panic_on_warn set",
    "hung_task: ",
    "task x blocked for more than ",
    "---[ end trace",
    "rcu_sched detected stall",
    "Oops: 0000 [#1]\n",
    "BUG x (Not tainted): ",
    "rust_kernel: panicked at ",
];

#[test]
fn a_log_full_of_headers_costs_no_more_than_its_length() {
    let log = "WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n f+0x1/0x2\n".repeat(20_000);
    let begun = std::time::Instant::now();
    assert!(of(&console::records(log.as_bytes()), Families::built_in()).is_some());
    // No figure of speed: a cost by the square of the log's length takes far longer.
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}
