//! Reports that are cut, and whole ones that only look so.

use super::*;
use crate::triage::log::console;

pub(super) fn found(log: &str) -> Crash {
    of(&console::records(log.as_bytes()), Families::built_in()).unwrap()
}

/// Each log has this title, and is whole or damaged.
#[track_caller]
pub(super) fn titles(whole: bool, logs: &[(&str, &str)]) {
    for (log, title) in logs {
        let crash = found(log);
        assert_eq!((crash.title.as_str(), !crash.corrupted), (*title, whole), "{log}");
    }
}

#[track_caller]
pub(super) fn no_crash(log: &str) {
    let crash = of(&console::records(log.as_bytes()), Families::built_in());
    assert_eq!(crash.map(|crash| crash.title), None, "{log}");
}

#[test]
fn the_arm_unwinder_announces_no_stack() {
    titles(
        true,
        &[
            (
                "\
INFO: task flusher:91 blocked for more than 120 seconds.
      Not tainted 5.4.0 #3
flusher         D    0    91      2 0x00000000
[<c0901000>] (__schedule) from [<c0901400>] (schedule+0x48/0xb0)
[<c0901400>] (schedule) from [<c0904000>] (rwsem_down_write_slowpath+0x2c0/0x5a0)
[<c0904000>] (rwsem_down_write_slowpath) from [<bf010200>] (dummy_flush+0x20/0x80 [dummy])
[<bf010200>] (dummy_flush [dummy]) from [<c0130000>] (process_one_work+0x1a0/0x4a0)
",
                "INFO: task hung in dummy_flush",
            ),
            (
                "\
BUG: sleeping function called from invalid context at mm/page_alloc.c:5100
in_atomic(): 1, irqs_disabled(): 128, non_block: 0, pid: 1, name: swapper/0
CPU: 1 PID: 1 Comm: swapper/0 Not tainted 6.6.0 #1
Hardware name: Generic DT based system
 unwind_backtrace from show_stack+0x10/0x14
 show_stack from dump_stack_lvl+0x54/0x7c
 dump_stack_lvl from __might_resched+0x16c/0x1a8
 __might_resched from __alloc_pages+0xa4/0x1100
 __alloc_pages from dummy_map [dummy]+0x30/0x60 [dummy]
 dummy_map [dummy] from dummy_open+0x24/0x90 [dummy]
",
                "BUG: sleeping function called from invalid context in dummy_map",
            ),
            (
                "\
BUG: spinlock bad magic on CPU#1, probe/42
 lock: 0xbf000100, .magic: 00000000, .owner: <none>/-1, .owner_cpu: 0
[<c0014000>] (unwind_backtrace+0x0/0xf8) from [<c0200000>] (spin_dump+0x78/0x8c)
[<c0200000>] (spin_dump+0x0/0x8c) from [<c0200100>] (do_raw_spin_lock+0x1c/0x100)
[<c0200100>] (do_raw_spin_lock+0x0/0x100) from [<bf000020>] (dummy_probe+0x20/0x40 [dummy])
[<bf000020>] (dummy_probe+0x0/0x40 [dummy]) from [<c0300000>] (platform_drv_probe+0x18/0x1c)
",
                "BUG: spinlock bad magic in dummy_probe",
            ),
        ],
    );
    let log = "\
BUG: spinlock recursion on CPU#0, cat/50
Backtrace:
[<c0200100>] (do_raw_spin_lock) from [<c0500000>] (_raw_spin_lock_irqsave+0x18/0x20)
[<c0500000>] (_raw_spin_lock_irqsave) from [<bf001000>] (dummy_take+0x10/0x20 [dummy])
[<bf001000>] (dummy_take [dummy]) from [<c0210000>] (vfs_read+0xa0/0x100)
";
    assert_eq!(found(log).module.as_deref(), Some("dummy"));
}

#[test]
fn what_is_left_of_a_cut_report_is_used_and_the_report_is_damaged() {
    titles(
        false,
        &[
            (
                "WARNING: at drivers/net/dummy.c:7 dummy_xmit+0x4d/0x90 [dummy]()\n",
                "WARNING in dummy_xmit",
            ),
            (
                "WARNING: drivers/gpu/dummy.c:7 at dummy_flip+0x4d/0x90, CPU#1: Xorg/9\nModules linked in: dummy\n",
                "WARNING in dummy_flip",
            ),
            (
                "BUG: unable to handle kernel paging request at f8000000\nIP: [<f8a00123>] dummy_isr+0x23/0x40 [dummy]\n*pde = 00000000\nOops: 0000 [#1] SMP\n",
                "BUG: unable to handle kernel paging request in dummy_isr",
            ),
            (
                "BUG: unable to handle kernel NULL pointer dereference at 0000000000000000\nIP: dummy_tick+0x19/0x240\nPGD 0 P4D 0\n",
                "BUG: unable to handle kernel NULL pointer dereference in dummy_tick",
            ),
            (
                "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010\nOops [#1]\nCPU: 0 PID: 7 Comm: x Not tainted 6.1.0 #1\nepc : memcpy+0x18/0x80\n ra : dummy_pull+0x22/0x60\n",
                "BUG: unable to handle kernel NULL pointer dereference in dummy_pull",
            ),
            (
                "CPU 0 Unable to handle kernel paging request at virtual address 00000010, epc == 80100000, ra == 80200000\nOops[#1]:\nCPU: 0 PID: 7 Comm: x Not tainted 5.4.0 #1\nepc   : 80100000 strcmp+0x10/0x20\nra    : 80200000 dummy_find+0x20/0x30\n",
                "BUG: unable to handle kernel paging request in dummy_find",
            ),
            (
                "BUG: kernel NULL pointer dereference, address: 0000000000000018\nOops: 0002 [#1] SMP\nCPU: 3 PID: 70 Comm: kworker/3:1 Not tainted 6.1.0 #1\nWorkqueue: events dummy_work_fn [dummy]\nRIP: 0010:_raw_spin_lock_irqsave+0x1f/0x50\n",
                "BUG: unable to handle kernel NULL pointer dereference in dummy_work_fn",
            ),
            (
                "general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP\nRIP: 0010:__list_del_entry_valid+0x1f/0x50\n",
                "general protection fault in __list_del_entry_valid",
            ),
            (
                "[   10.000001] Call Trace:\n[   10.000002]  dummy_handle+0x12/0x40\n[   10.000003]  dummy_thread+0x12/0x40\n[   10.000004]  kthread+0x12/0x40\n[   10.000005] ---[ end trace 0 ]---\n[   10.000006] Kernel panic - not syncing: Fatal exception in interrupt\n",
                "kernel oops (header lost) in dummy_handle",
            ),
            (
                "[   10.000002]  memcpy+0x12/0x40\n[   10.000003]  dummy_rx+0x12/0x40 [dummy]\n[   10.000004]  net_rx_action+0x12/0x40\n[   10.000006] Kernel panic - not syncing: Fatal exception\n",
                "kernel oops (header lost) in dummy_rx",
            ),
        ],
    );
    let module = found("WARNING: at a.c:7 dummy_xmit+0x4d/0x90 [dummy]()\n").module;
    assert_eq!(module.as_deref(), Some("dummy"));
}

#[test]
fn a_function_behind_a_noreturn_call_is_not_part_of_a_bucket() {
    let log = |callee: &str, behind: &str, caller: &str| {
        format!(
            "Kernel panic - not syncing: dummy\nCall Trace:\n dump_stack+0x1/0x2\n panic+0x1/0x2\n{callee} {behind}+0x0/0x40\n {caller}+0x10/0x20\n dummy_top+0x1/0x2\n"
        )
    };
    let bucket = |log: &str| found(log).signature;
    for callee in ["", " __stack_chk_fail+0x1/0x2\n"] {
        let one = bucket(&log(callee, "cpu_die", "dummy_one"));
        assert_eq!(one, bucket(&log(callee, "tick_setup", "dummy_one")));
        assert_ne!(one.id, bucket(&log(callee, "cpu_die", "dummy_two")).id);
    }
    titles(
        true,
        &[(
            "INFO: task x:9 blocked for more than 120 seconds.\nCall Trace:\n schedule+0x1/0x2\n do_exit+0x1/0x2\n dummy_next+0x0/0x9\n dummy_thread+0x1/0x2\n kthread+0x1/0x2\n",
            "INFO: task hung in do_exit",
        )],
    );
}

#[test]
fn whole_reports_are_not_damaged() {
    titles(
        true,
        &[
            (
                "\
rust_kernel: panicked at drivers/dummy/ring.rs:88:13:
index out of bounds: the len is 4 but the index is 4
------------[ cut here ]------------
kernel BUG at rust/helpers/bug.c:7!
Oops: invalid opcode: 0000 [#1] SMP
CPU: 0 PID: 9 Comm: x Not tainted 6.12.0 #1
RIP: 0010:rust_helper_BUG+0x8/0x10
Call Trace:
 _RNvCs1_7___rustc17rust_begin_unwind+0x1/0x2
 _RNvNtCs1_4core9panicking9panic_fmt+0x1/0x2
 _RNvCs1_5dummy4push+0x1/0x2
---[ end trace 0000000000000000 ]---
",
                "index out of bounds: the len is NUM but the index is NUM in dummy::push",
            ),
            (
                "\
rust_kernel: panicked at 'no slot left', drivers/dummy/ring.rs:88:13
------------[ cut here ]------------
kernel BUG at rust/helpers.c:45!
invalid opcode: 0000 [#1] SMP
RIP: 0010:rust_helper_BUG+0x8/0x10
Call Trace:
 core::panicking::panic_fmt+0x1/0x2
 dummy_write+0x1/0x2
",
                "no slot left in dummy_write",
            ),
            (
                "\
BUG: memory leak
unreferenced object 0xffff888109b4dc00 (size 192):
  comm \"probe\", pid 3705, jiffies 4294941906
  backtrace (crc 9f0d1b2c):
    [<000000006422299c>] kmalloc include/linux/slab.h:557 [inline]
    [<000000006422299c>] dummy_alloc_ring+0x66/0xe0 drivers/dummy.c:74
    [<000000007744b258>] dummy_init_rings drivers/dummy.c:829 [inline]
    [<000000007744b258>] dummy_probe+0x148/0x640 drivers/dummy.c:1008
",
                "memory leak in dummy_probe",
            ),
            (
                "\
BUG: KMSAN: uninit-value in crc32_body lib/crc32.c:110 [inline]
BUG: KMSAN: uninit-value in crc32_le_generic+0x43c/0x480 lib/crc32.c:190
 crc32_body lib/crc32.c:110 [inline]
 crc32_le_generic+0x43c/0x480 lib/crc32.c:190
 dummy_sum fs/dummy.c:9 [inline]
 dummy_commit+0xd3/0x1b0 fs/dummy.c:20

Uninit was created at:
 __alloc_pages+0x9d1/0xe60 mm/page_alloc.c:4590
",
                "KMSAN: uninit-value in dummy_commit",
            ),
            (
                "\
BUG: TASK stack guard page was hit at ffffc9000306ffe8 (stack is ffffc90003070000..ffffc90003078000)
PANIC: double fault, error_code: 0x0 [#1] SMP
RIP: 0010:mark_lock+0x16/0x1b0
Call Trace:
 __lock_acquire+0x1/0x2
 dummy_recurse+0x1/0x2
 dummy_recurse+0x1/0x2
 rtnetlink_rcv_msg+0x1/0x2
",
                "BUG: stack guard page was hit in dummy_recurse",
            ),
        ],
    );
}

#[test]
fn a_register_dump_alone_is_an_oops_unless_somebody_asked_for_it() {
    let arm = "Modules linked in:\nCPU: 0    Tainted: G        W    (2.6.37 #153)\nPC is at dummy_poke+0xd0/0x1b4\nLR is at dummy_poke+0xc8/0x1b4\nProcess bash (pid: 1014, stack limit = 0xf4e0c2f8)\nBacktrace:\n[<c0058220>] (dummy_poke+0x0/0x1b4) from [<c0138578>] (dummy_write+0x50/0x80)\n";
    let x86 = "Modules linked in: dummy\nPid: 7, comm: x Not tainted 2.6.32 #1\nRIP: 0010:[<ffffffff81234567>]  [<ffffffff81234567>] dummy_poke+0x12/0x40\n";
    for log in [arm, x86] {
        titles(false, &[(log, "kernel oops (header lost) in dummy_poke")]);
        no_crash(&format!("SysRq : Show Regs\n{log}"));
        no_crash(&format!("Sending NMI from CPU 0 to CPUs 1:\nNMI backtrace for cpu 1\n{log}"));
    }
    no_crash("Modules linked in: dummy\nRIP: 0033:0x7f1234\n");
}

#[test]
fn what_people_write_about_a_log_is_no_event_of_it() {
    const LOG: &str = "\
[   50.000001] watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [worker:77]
[   50.000002] CPU: 3 PID: 77 Comm: worker Not tainted 5.15.0 #1
[   50.000003] RIP: 0010:dummy_spin+0x1e/0x30 [dummy]
[   50.000004] Call Trace:
[   50.000005]  dummy_ioctl+0x4c/0x190 [dummy]
[   50.000006]  vfs_ioctl+0x2b/0x3d0
";
    for text in [
        "Title: BUG: soft lockup - CPU#0 stuck when I use dummy\n\nHello,\n\n",
        "### Bug: `BUG: soft lockup` after the upgrade\n\n```\n",
        "Subject: WARNING: CPU: 0 PID: 0 at net/other.c:1 other+0x1/0x2\n\nSince 6.5 I see:\n",
        "> BUG: unable to handle page fault in my driver\n\nI see something else:\n\n",
    ] {
        assert_eq!(
            found(&format!("{text}{LOG}")).title,
            "BUG: soft lockup in dummy_spin",
            "{text}"
        );
    }
    // Without a log of its own, it is all there is.
    assert_eq!(found("BUG: soft lockup - CPU#0 stuck for 22s!\n").kind, "soft lockup");
}
