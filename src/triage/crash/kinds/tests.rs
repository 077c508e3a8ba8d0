use super::*;
use crate::triage::log::lines_of_text;

fn of(text: &str) -> Option<(&'static Kind, String)> {
    let lines = lines_of_text(text);
    read(&lines, 0).map(|header| (header.kind, header.class))
}

#[test]
fn headers_are_known_by_their_words() {
    for (text, kind, class) in [
        (
            "BUG: KASAN: use-after-free in f+0x1/0x2\nRead of size 4 at addr 1",
            &sanitizers::KASAN,
            "KASAN: use-after-free Read",
        ),
        (
            "BUG: KASan: use after free in f+0x1/0x2 at addr 1\nRead of size 4 by task x/7",
            &sanitizers::KASAN,
            "KASAN: use-after-free Read",
        ),
        (
            "BUG: KASAN: double-free in kfree+0x1/0x2",
            &sanitizers::KASAN_FREE,
            "KASAN: invalid-free",
        ),
        ("BUG: KMSAN: uninit-value in f+0x1/0x2", &sanitizers::KMSAN, "KMSAN: uninit-value"),
        (
            "BUG: KCSAN: data-race in f+0x1/0x2 / g+0x3/0x4",
            &sanitizers::KCSAN,
            "KCSAN: data-race in f / g",
        ),
        (
            "BUG: KFENCE: out-of-bounds read in f+0x1/0x2",
            &sanitizers::KFENCE,
            "KFENCE: out-of-bounds read",
        ),
        ("UBSAN: Undefined behaviour in a.c:1:2", &sanitizers::UBSAN, "UBSAN: undefined-behaviour"),
        (
            "BUG: kernel NULL pointer dereference, address: 0",
            &faults::FAULT,
            "BUG: unable to handle kernel NULL pointer dereference",
        ),
        (
            "Unable to handle kernel paging request at virtual address 1",
            &faults::FAULT,
            "BUG: unable to handle kernel paging request",
        ),
        (
            "BUG: Unable to handle kernel data access at 0x1",
            &faults::FAULT,
            "BUG: unable to handle kernel paging request",
        ),
        (
            "general protection fault, probably for non-canonical address 0x1: 0000",
            &faults::PROTECTION_FAULT,
            "general protection fault",
        ),
        ("kernel BUG at mm/x.c:1!", &bugs::BUG, "kernel BUG"),
        ("kernel BUG at lib/list_debug.c:1!", &bugs::CORRUPTED_LIST, "BUG: corrupted list"),
        ("WARNING: CPU: 0 PID: 1 at a/b.c:1 f+0x1/0x2", &warnings::WARNING, "WARNING"),
        ("WARNING: a/b.c:1 at f+0x1/0x2, CPU#0: x/1", &warnings::WARNING, "WARNING"),
        ("WARNING: [x > (1)] a/b.c:1 at f+0x1/0x2, CPU#0: x/1", &warnings::WARNING, "WARNING"),
        (
            "WARNING: CPU: 0 PID: 1 at lib/refcount.c:28 f+0x1/0x2",
            &warnings::REFCOUNT,
            "WARNING: refcount bug",
        ),
        (
            "watchdog: BUG: soft lockup - CPU#1 stuck for 22s!",
            &lockups::SOFT_LOCKUP,
            "BUG: soft lockup",
        ),
        ("Watchdog detected hard LOCKUP on cpu 1", &lockups::HARD_LOCKUP, "hard lockup"),
        (
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            &lockups::RCU_STALL,
            "INFO: rcu detected stall",
        ),
        ("INFO: task a\nb:1 blocked for more than 120 seconds.", &HUNG_TASK, "INFO: task hung"),
        (
            "WARNING: possible circular locking dependency detected",
            &locking::CIRCULAR,
            "possible deadlock",
        ),
        ("[ INFO: suspicious RCU usage. ]", &locking::RCU_USAGE, "INFO: suspicious RCU usage"),
        (
            "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: f+0x1/0x2",
            &stack_damage::CORRUPT,
            "kernel panic: stack is corrupted",
        ),
        (
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
            &PANIC,
            "kernel panic: Attempted to kill init!",
        ),
        (
            "CPU 0: Machine Check Exception: 4 Bank 5: be00000000800400",
            &machine_checks::MACHINE_CHECK,
            "machine check (bank 5, mcacod 0x0400)",
        ),
        ("BUG: x/1 still has locks held!", &locking::HELD_TOO_LONG, "BUG: still has locks held"),
        (
            "BUG: spinlock trylock failure on UP on CPU#0",
            &locking::SPIN,
            "BUG: spinlock trylock failure on UP",
        ),
        ("BUG: rwlock wrong CPU on CPU#1, x/1", &locking::SPIN, "BUG: rwlock wrong CPU"),
        ("BUG: Bad page cache in process x  pfn:1", &memory::PAGE_STATE, "BUG: Bad page cache"),
        ("BUG: non-zero nr_ptes on freeing mm: 1", &MESSAGE, "BUG: non-zero nr_ptes on freeing mm"),
        (
            "BUG kmalloc-64 (Tainted: G    B): Object already free",
            &MESSAGE,
            "BUG: Object already free",
        ),
        (
            "[ INFO: suspicious rcu_dereference_check() usage. ]",
            &locking::RCU_USAGE,
            "INFO: suspicious RCU usage",
        ),
        (
            "[ INFO: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected ]",
            &locking::RECURSIVE,
            "possible deadlock",
        ),
        (
            "BUG: KASAN: wild-memory-access on address 1\nRead of size 4 by task x/1",
            &MESSAGE,
            "KASAN: wild-memory-access Read",
        ),
        (
            "Kernel panic - not syncing: Couldn't open N_TTY ldisc for ptm1 --- error -12.",
            &PANIC,
            "kernel panic: Couldn't open N_TTY ldisc",
        ),
        (
            "VFS: Close: file count is 0",
            &MESSAGE,
            "VFS: Close: file count is zero (use-after-free)",
        ),
        (
            "rust_kernel: panicked at drivers/x.rs:1:2:\nattempt to add with overflow",
            &bugs::RUST_PANIC,
            "attempt to add with overflow",
        ),
        (
            "Unable to handle kernel pointer dereference in virtual kernel address space",
            &faults::FAULT,
            "BUG: unable to handle kernel paging request",
        ),
        (
            "illegal operation: 0001 ilc:1 [#1] SMP\nCPU: 0 PID: 1 Comm: x",
            &faults::DIED,
            "illegal operation",
        ),
        (
            "Oops - illegal instruction [#1]\nCPU: 0 PID: 1 Comm: x",
            &faults::DIED,
            "illegal instruction",
        ),
        ("Kernel bug detected[#1]:\nCPU: 0 PID: 1 Comm: x", &faults::DIED, "kernel BUG"),
        ("Oops: 0002 [#1] SMP\nCPU: 0 PID: 1 Comm: x", &HEADER_LOST, "kernel oops (header lost)"),
        ("WARNING: my own words\nCPU: 0 PID: 1 Comm: x", &MESSAGE, "WARNING: my own words"),
    ] {
        assert_eq!(of(text), Some((kind, class.to_owned())), "{text}");
    }
}

#[test]
fn what_only_sounds_like_a_crash_is_none() {
    for text in [
        "DEBUG: all is well",
        "audit: type=1400 audit(1.1:2): apparmor=\"DENIED\" name=\"/tmp/BUG: x\" comm=\"cp\"",
        "bash-5.1$ grep 'BUG: unable to handle' /var/log/messages",
        "since Monday I have `Kernel panic - not syncing: Fatal exception` here",
        "AGESA TYPE 17 DMI INFO:",
        "MY_INFO: x",
        "INFO: lockdep is turned off.",
        "INFO: NMI handler (x) took too long to run: 1.3 msecs",
        "traps: x[1] general protection fault ip:1 sp:2 error:0 in x",
        "EXT4-fs (loop1): INFO: recovery required on readonly filesystem",
        "capability: warning: `x' uses deprecated v2 capabilities",
        "WARNING: the mand mount option is being deprecated",
        "x[1]: segfault at 0 ip 1 sp 2 error 4 in x",
        "WARNING: RO_VPD is uninitialized or empty.",
        "WARNING: Caches not enabled\nWARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2",
        "INFO: all is well, says a program\nof user space",
        "INFO: task x:1 blocked on an rw-semaphore likely owned by task y:2\nINFO: task y:2 blocked for more than 9 seconds",
        "BUG kmalloc-64: says somebody",
        "BUG kmalloc-64 (Not tainted): kasan: bad access detected",
        "oops [#x]\nCPU: 0 PID: 1 Comm: x",
        "queue [#1]: full\nand nothing else",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
}
