use super::*;
use crate::triage::crash::kind::Kind;

fn of(text: &str) -> Option<(Kind, String)> {
    let lines: Vec<Line<'_>> = text
        .lines()
        .map(|text| Line {
            record: 0,
            time_ns: None,
            caller: None,
            from_user: false,
            text: text.as_bytes(),
        })
        .collect();
    read(&lines, 0).map(|header| (header.kind, header.class))
}

#[test]
fn headers_are_known_by_their_words() {
    for (text, kind, class) in [
        (
            "BUG: KASAN: use-after-free in f+0x1/0x2\nRead of size 4 at addr 1",
            Kind::Kasan,
            "KASAN: use-after-free Read",
        ),
        ("BUG: KASAN: double-free in kfree+0x1/0x2", Kind::KasanFree, "KASAN: invalid-free"),
        ("BUG: KMSAN: uninit-value in f+0x1/0x2", Kind::Kmsan, "KMSAN: uninit-value"),
        (
            "BUG: KCSAN: data-race in f+0x1/0x2 / g+0x3/0x4",
            Kind::Kcsan,
            "KCSAN: data-race in f / g",
        ),
        (
            "BUG: KFENCE: out-of-bounds read in f+0x1/0x2",
            Kind::Kfence,
            "KFENCE: out-of-bounds read",
        ),
        ("UBSAN: Undefined behaviour in a.c:1:2", Kind::Ubsan, "UBSAN: undefined-behaviour"),
        (
            "BUG: kernel NULL pointer dereference, address: 0",
            Kind::Fault,
            "BUG: unable to handle kernel NULL pointer dereference",
        ),
        (
            "Unable to handle kernel paging request at virtual address 1",
            Kind::Fault,
            "BUG: unable to handle kernel paging request",
        ),
        (
            "BUG: Unable to handle kernel data access at 0x1",
            Kind::Fault,
            "BUG: unable to handle kernel paging request",
        ),
        (
            "general protection fault, probably for non-canonical address 0x1: 0000",
            Kind::Trap,
            "general protection fault",
        ),
        ("kernel BUG at mm/x.c:1!", Kind::Bug, "kernel BUG"),
        ("kernel BUG at lib/list_debug.c:1!", Kind::CorruptedList, "BUG: corrupted list"),
        ("WARNING: CPU: 0 PID: 1 at a/b.c:1 f+0x1/0x2", Kind::Warning, "WARNING"),
        ("WARNING: a/b.c:1 at f+0x1/0x2, CPU#0: x/1", Kind::Warning, "WARNING"),
        ("WARNING: [x > (1)] a/b.c:1 at f+0x1/0x2, CPU#0: x/1", Kind::Warning, "WARNING"),
        (
            "WARNING: CPU: 0 PID: 1 at lib/refcount.c:28 f+0x1/0x2",
            Kind::WarningRefcount,
            "WARNING: refcount bug",
        ),
        ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", Kind::SoftLockup, "BUG: soft lockup"),
        ("Watchdog detected hard LOCKUP on cpu 1", Kind::HardLockup, "hard lockup"),
        (
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            Kind::RcuStall,
            "INFO: rcu detected stall",
        ),
        ("INFO: task a\nb:1 blocked for more than 120 seconds.", Kind::HungTask, "INFO: task hung"),
        (
            "WARNING: possible circular locking dependency detected",
            Kind::Circular,
            "possible deadlock",
        ),
        ("[ INFO: suspicious RCU usage. ]", Kind::RcuUsage, "INFO: suspicious RCU usage"),
        (
            "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: f+0x1/0x2",
            Kind::StackCorrupt,
            "kernel panic: stack is corrupted",
        ),
        (
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
            Kind::Panic,
            "kernel panic: Attempted to kill init!",
        ),
        (
            "CPU 0: Machine Check Exception: 4 Bank 5: be00000000800400",
            Kind::MachineCheck,
            "machine check (bank 5, mcacod 0x0400)",
        ),
        ("BUG: x/1 still has locks held!", Kind::HeldReturning, "BUG: still has locks held"),
        (
            "BUG: spinlock trylock failure on UP on CPU#0",
            Kind::Spin,
            "BUG: spinlock trylock failure on UP",
        ),
        ("BUG: rwlock wrong CPU on CPU#1, x/1", Kind::Spin, "BUG: rwlock wrong CPU"),
        ("BUG: Bad page cache in process x  pfn:1", Kind::PageState, "BUG: Bad page cache"),
        (
            "BUG: non-zero nr_ptes on freeing mm: 1",
            Kind::Message,
            "BUG: non-zero nr_ptes on freeing mm",
        ),
        (
            "BUG kmalloc-64 (Tainted: G    B): Object already free",
            Kind::Message,
            "BUG: Object already free",
        ),
        (
            "[ INFO: suspicious rcu_dereference_check() usage. ]",
            Kind::RcuUsage,
            "INFO: suspicious RCU usage",
        ),
        (
            "[ INFO: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected ]",
            Kind::Recursive,
            "possible deadlock",
        ),
        (
            "BUG: KASAN: wild-memory-access on address 1\nRead of size 4 by task x/1",
            Kind::Message,
            "KASAN: wild-memory-access Read",
        ),
        (
            "Kernel panic - not syncing: Couldn't open N_TTY ldisc for ptm1 --- error -12.",
            Kind::Panic,
            "kernel panic: Couldn't open N_TTY ldisc",
        ),
        (
            "VFS: Close: file count is 0",
            Kind::Message,
            "VFS: Close: file count is zero (use-after-free)",
        ),
        (
            "rust_kernel: panicked at drivers/x.rs:1:2:\nattempt to add with overflow",
            Kind::RustPanic,
            "attempt to add with overflow",
        ),
        (
            "Unable to handle kernel pointer dereference in virtual kernel address space",
            Kind::Fault,
            "BUG: unable to handle kernel paging request",
        ),
        (
            "illegal operation: 0001 ilc:1 [#1] SMP\nCPU: 0 PID: 1 Comm: x",
            Kind::Die,
            "illegal operation",
        ),
        (
            "Oops - illegal instruction [#1]\nCPU: 0 PID: 1 Comm: x",
            Kind::Die,
            "illegal instruction",
        ),
        ("Kernel bug detected[#1]:\nCPU: 0 PID: 1 Comm: x", Kind::Die, "kernel BUG"),
        (
            "Oops: 0002 [#1] SMP\nCPU: 0 PID: 1 Comm: x",
            Kind::HeaderLost,
            "kernel oops (header lost)",
        ),
        ("WARNING: my own words\nCPU: 0 PID: 1 Comm: x", Kind::Message, "WARNING: my own words"),
    ] {
        assert_eq!(of(text), Some((kind, class.to_owned())), "{text}");
    }
}

#[test]
fn what_only_sounds_like_a_crash_is_none() {
    for text in [
        "DEBUG: all is well",
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
