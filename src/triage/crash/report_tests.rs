//! Reports as kernels of different ages, architectures and modules print them.

use super::*;
use crate::triage::log::console;

fn found(log: &str) -> Crash {
    of(&console::records(log.as_bytes()), Families::built_in()).unwrap()
}

/// Each log has this title, and is whole or damaged.
#[track_caller]
fn titles(whole: bool, logs: &[(&str, &str)]) {
    for (log, title) in logs {
        let crash = found(log);
        assert_eq!((crash.title.as_str(), !crash.corrupted), (*title, whole), "{log}");
    }
}

#[track_caller]
fn no_crash(log: &str) {
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
fn hard_lockups_have_different_words() {
    titles(
        true,
        &[
            (
                "\
Kernel panic - not syncing: Watchdog detected hard LOCKUP on cpu 12
CPU: 12 PID: 99 Comm: poller Tainted: G           OE  3.10.0-957.el7.x86_64 #1
Call Trace:
 <NMI>  [<ffffffff81761dc1>] dump_stack+0x19/0x1b
 [<ffffffff8175b8d0>] panic+0xe8/0x21f
 [<ffffffff8114d2c0>] watchdog_overflow_callback+0x121/0x140
 [<ffffffff811a5d57>] __perf_event_overflow+0x57/0x100
 [<ffffffff8176b8d4>] perf_event_nmi_handler+0x34/0x60
 [<ffffffff8176cf0c>] nmi_handle.isra.0+0x8c/0x150
 [<ffffffff8176d158>] do_nmi+0x218/0x460
 [<ffffffff8176c31c>] end_repeat_nmi+0x1e/0x81
 <<EOE>>  [<ffffffff81168000>] _raw_spin_lock+0x37/0x40
 [<ffffffff81400000>] dummy_queue_rq+0x47/0x100
 [<ffffffff81774ddb>] system_call_fastpath+0x22/0x27
",
                "hard lockup in dummy_queue_rq",
            ),
            (
                "\
------------[ cut here ]------------
WARNING: at kernel/watchdog.c:245 watchdog_overflow_callback+0x9c/0xd0()
Hardware name: Dummy 7
Watchdog detected hard LOCKUP on cpu 5
Modules linked in: dummy
Pid: 71, comm: spinner Not tainted 3.2.0 #1
Call Trace:
 <NMI>  [<ffffffff81046000>] warn_slowpath_common+0x7f/0xc0
 [<ffffffff810460f6>] warn_slowpath_fmt+0x46/0x50
 [<ffffffff810a0000>] watchdog_overflow_callback+0x9c/0xd0
 [<ffffffff8164a130>] nmi+0x20/0x30
 <<EOE>>  [<ffffffffa0005020>] dummy_spin+0x20/0x40 [dummy]
 [<ffffffffa0005120>] dummy_ioctl+0x20/0x40 [dummy]
 [<ffffffff81640000>] system_call_fastpath+0x16/0x1b
---[ end trace 0123456789abcdef ]---
",
                "hard lockup in dummy_spin",
            ),
            (
                "\
Watchdog CPU:3 detected Hard LOCKUP other CPUS:17
Watchdog CPU:17 Hard LOCKUP
CPU: 17 PID: 8 Comm: burner Not tainted 4.14.0 #1
NIP [c000000000100000] dummy_burn+0x40/0xe0
LR [c000000000100100] dummy_call+0x38/0x80
Call Trace:
[c000003fe35b7050] [c000000000100100] dummy_call+0x38/0x80
[c000003fe35b7090] [c000000000101000] dummy_read_file+0x18/0x60
[c000003fe35b70d0] [c000000000102000] vfs_read+0x58/0x6c
",
                "hard lockup in dummy_read_file",
            ),
            (
                "\
BUG: NMI Watchdog detected LOCKUP on CPU1, ip c0123456, registers:
Modules linked in: dummy
CPU: 1
EIP: 0060:[<c0123456>]    Not tainted VLI
EIP is at dummy_wait_bit+0x16/0x20
Call Trace:
 [<c0200000>] dummy_reset+0x20/0x30
 [<c0201000>] vfs_write+0x20/0x30
",
                "hard lockup in dummy_reset",
            ),
            (
                "\
CPU0 NMI taken, CP0_EPC=80451234
NMI[#1]:
CPU: 0 PID: 12 Comm: loop Not tainted 4.9.0 #1
epc   : 80451234 dummy_loop+0x14/0x30
ra    : 80451300 dummy_enter+0x10/0x20
Call Trace:
[<80451234>] dummy_loop+0x14/0x30
[<80451300>] dummy_enter+0x10/0x20
[<80100000>] vfs_ioctl+0x10/0x20
",
                "hard lockup in dummy_enter",
            ),
        ],
    );
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
fn a_corrupted_stack_is_named_by_the_function_with_the_canary() {
    titles(
        true,
        &[
            (
                "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: mutex_lock+0x4c/0x4c\nCall Trace:\n dump_stack+0x1/0x2\n panic+0x1/0x2\n next_in_text+0x0/0x9\n caller+0x1/0x2\n",
                "kernel panic: stack is corrupted in mutex_lock",
            ),
            (
                "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: kfree_dummy+0x9/0x10 [dummy]\nCall Trace:\n panic+0x1/0x2\n __stack_chk_fail+0x1/0x2\n kfree_dummy+0x9/0x10 [dummy]\n",
                "kernel panic: stack is corrupted in kfree_dummy",
            ),
            (
                "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: ffffffff81234567\nCall Trace:\n [<ffffffff81700000>] panic+0xbf/0x1c0\n [<ffffffff81050000>] __stack_chk_fail+0x16/0x20\n [<ffffffff81234567>] dummy_smash+0x87/0x90\n",
                "kernel panic: stack is corrupted in dummy_smash",
            ),
        ],
    );
}

#[test]
fn modules_have_panics_of_their_own() {
    titles(
        true,
        &[
            (
                "VERIFY(0 == dummy_hold(os, id)) failed\nPANIC at dummy_dir.c:238:dummy_dir_lookup()\nShowing stack for process 7\nCall Trace:\n dump_stack+0x1/0x2\n spl_dumpstack+0x1/0x2 [spl]\n spl_panic+0x1/0x2 [spl]\n dummy_dir_lookup+0x1/0x2 [zfs]\n",
                "PANIC: VERIFY failed in dummy_dir_lookup",
            ),
            (
                "VERIFY0(dummy_free(dn)) failed (0 == 22)\nPANIC at dummy.c:2:dummy_free_range()\nCall Trace:\n spl_panic+0x1/0x2 [spl]\n dummy_free_range+0x1/0x2 [zfs]\n",
                "PANIC: VERIFY0 failed in dummy_free_range",
            ),
            (
                "PANIC: zfs: allocating allocated segment(offset=123 size=4096) of (offset=123 size=4096)\n\nShowing stack for process 4\nCPU: 0 PID: 4 Comm: z_wr_iss Tainted: P 5.4.0 #1\nCall Trace:\n dump_stack+0x1/0x2\n spl_dumpstack+0x1/0x2 [spl]\n vcmn_err.cold+0x1/0x2 [spl]\n zfs_panic_recover+0x1/0x2 [zfs]\n dummy_add+0x1/0x2 [zfs]\n",
                "PANIC: zfs: allocating allocated segment in dummy_add",
            ),
            (
                "SPLError: 2100:0:(dummy_znode.c:330:dummy_znode_init()) ASSERTION(zp) failed\nSPLError: 2100:0:(dummy_znode.c:330:dummy_znode_init()) SPL PANIC\nSPL: Showing stack for process 2100\nCall Trace:\n [<ffffffffa0000000>] ? spl_debug_bug+0x1/0x2 [spl]\n",
                "PANIC: ASSERTION failed in dummy_znode_init",
            ),
            (
                "LustreError: 19:0:(dummy_lock.c:88:dummy_lock_put()) ASSERTION( ref > 0 ) failed:\nLustreError: 19:0:(dummy_lock.c:88:dummy_lock_put()) LBUG\nPid: 19, comm: ll_x\nCall Trace:\n [<ffffffffa0000000>] libcfs_debug_dumpstack+0x1/0x2 [libcfs]\n [<ffffffffa0000100>] lbug_with_loc+0x1/0x2 [libcfs]\nKernel panic - not syncing: LBUG\n",
                "PANIC: ASSERTION failed in dummy_lock_put",
            ),
            (
                "!!Assertion Failed!!\nExpression: pThis->cRefs > 0\nLocation  : /build/dummy.c(221) int dummyRelease(PDUMMY)\n",
                "PANIC: assertion failed in dummyRelease",
            ),
            (
                "GFS2: fsid=c:d.0: fatal: assertion \"x < y\" failed\n   function = dummy_log_flush, file = fs/gfs2/log.c, line = 12\n",
                "PANIC: assertion failed in dummy_log_flush",
            ),
            (
                "kernel BUG at /build/module/dummy.c:10!\ninvalid opcode: 0000 [#1] SMP\nRIP: 0010:spl_panic+0x1/0x2 [spl]\nCall Trace:\n dummy_evict+0x1/0x2 [zfs]\n",
                "kernel BUG in dummy_evict",
            ),
        ],
    );
    for note in [
        "myapp: VERIFY(x) failed\n",
        "VERIFY of the image failed\n",
        "LustreError: 19:0:(dummy.c:8:dummy()) can't open: rc = -2\n",
        "audit: PANIC: nothing below\n",
    ] {
        no_crash(note);
    }
}

#[test]
fn a_bug_without_a_trap_names_its_function() {
    titles(
        true,
        &[
            (
                "BUG: failure at drivers/block/dummy.c:9/dummy_start()!\nKernel panic - not syncing: BUG!\nCall Trace:\n [<00001000>] panic+0x10/0x20\n [<00002000>] dummy_start+0x10/0x20\n",
                "kernel BUG in dummy_start",
            ),
            ("BUG: failure at mm/dummy.c:101/dummy_map_one()!\n", "kernel BUG in dummy_map_one"),
            (
                "BUG: failure at net/core/skbuff.c:99/skb_dummy_panic()!\nKernel panic - not syncing: BUG!\nCall Trace:\n panic from 0x10\n [<00002000>] skb_dummy_panic+0x10/0x20\n [<00002100>] dummy_rx+0x10/0x20\n",
                "kernel BUG in dummy_rx",
            ),
        ],
    );
}

#[test]
fn machine_checks_are_named_by_bank_and_code() {
    let panics = [
        "Fatal machine check on current CPU",
        "Fatal Machine check",
        "Fatal local machine check",
        "Machine check from unknown source",
        "Timeout: Not all CPUs entered broadcast exception handler",
        "Uncorrected unrecoverable machine check",
    ];
    for panic in panics {
        let log = format!(
            "[Hardware Error]: CPU 0: Machine Check Exception: 4 Bank 5: be00000000800400\n[Hardware Error]: TSC 1\nKernel panic - not syncing: {panic}\n"
        );
        titles(true, &[(&log, "machine check (bank 5, mcacod 0x0400)")]);
    }
    titles(
        true,
        &[
            (
                "CPU 1: Machine Check Exception: 0000000000000004\nBank 3: b40000000000083b at 00000001fc000000\nKernel panic - not syncing: CPU context corrupt\n",
                "machine check (bank 3, mcacod 0x083b)",
            ),
            (
                "mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 1: bf80000000000124\nKernel panic - not syncing: Fatal machine check\n",
                "machine check (bank 1, mcacod 0x0124)",
            ),
            (
                "CPU 7: Machine Check Exception: 4 Bank 2\nKernel panic - not syncing: Fatal machine check\n",
                "machine check (bank 2)",
            ),
        ],
    );
    no_crash("mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 5: bea0000000000108\n");
    no_crash("mce: [Hardware Error]: Machine check events logged\n");
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
fn system_errors_of_arm64_are_named_by_what_was_interrupted() {
    let stack = |entry: &str| {
        format!(
            "CPU: 6 PID: 8 Comm: x Not tainted 6.12.0 #1\nCall trace:\n show_stack+0x18/0x24 (C)\n panic+0x300/0x358\n nmi_panic+0x8c/0x90\n arm64_serror_panic+0x6c/0x78\n do_serror+0x58/0x5c\n{entry} dummy_poll_reg+0x98/0xb4 (P)\n dummy_probe+0x18/0x8c\n"
        )
    };
    let new = stack(" el1h_64_error_handler+0x30/0x48\n el1h_64_error+0x64/0x68\n");
    let old = stack(" el1_error+0x84/0xf8\n");
    for log in [
        format!("Kernel panic - not syncing: Asynchronous SError Interrupt\n{new}"),
        format!("Kernel panic - not syncing: Asynchronous SError Interrupt\n{old}"),
        format!(
            "SError Interrupt on CPU6, code 0x00000000be000011 -- SError\nCPU: 6 PID: 8 Comm: x Not tainted 6.12.0 #1\npc : dummy_poll_reg+0x98/0xb4\nlr : dummy_probe+0x18/0x8c\nKernel panic - not syncing: Asynchronous SError Interrupt\n{new}"
        ),
    ] {
        titles(true, &[(&log, "SError Interrupt in dummy_poll_reg")]);
    }
}

#[test]
fn the_idle_thread_must_not_schedule() {
    titles(
        true,
        &[(
            "bad: scheduling from the idle thread!\nCPU: 1 PID: 0 Comm: swapper/1 Not tainted 5.4.0 #1\nCall Trace:\n dump_stack+0x1/0x2\n dequeue_task_idle+0x1/0x2\n __schedule+0x1/0x2\n schedule_timeout+0x1/0x2\n dummy_idle_poll+0x1/0x2\n cpuidle_enter_state+0x1/0x2\n",
            "bad: scheduling from the idle thread in dummy_idle_poll",
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
fn cpus_that_wait_for_each_other_have_one_name() {
    for waits in ["smp_call_function_many_cond", "smp_call_function_single", "__smp_call_function"]
    {
        let log = format!(
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [x:1]\nRIP: 0010:{waits}+0x1/0x2\nCall Trace:\n on_each_cpu_cond_mask+0x1/0x2\n dummy_flush+0x1/0x2\n do_syscall_64+0x1/0x2\n"
        );
        titles(true, &[(&log, "BUG: soft lockup in smp_call_function")]);
    }
}

#[test]
fn a_lock_that_a_helper_took_is_named_by_another() {
    titles(
        true,
        &[
            (
                "\
WARNING: possible recursive locking detected
x/9 is trying to acquire lock:
ffff888012345678 (&d->lock){+.+.}, at: down_write_nested+0x17/0x20

but task is already holding lock:
ffff888012345670 (&d->lock){+.+.}, at: dummy_swap+0x33/0x90

stack backtrace:
Call Trace:
 dump_stack+0x1/0x2
 lock_acquire+0x1/0x2
",
                "possible deadlock in dummy_swap",
            ),
            (
                "\
WARNING: inconsistent lock state
x/9 [HC0[0]:SC1[1]:HE1:SE0] takes:
ffff888012345678 (&d->lock){+.?.}-{2:2}, at: dummy_poll+0x17/0x20
stack backtrace:
Call Trace:
 dump_stack+0x1/0x2
 print_usage_bug+0x1/0x2
 valid_state+0x1/0x2
 mark_lock_irq+0x1/0x2
 mark_lock+0x1/0x2
 __lock_acquire+0x1/0x2
 lock_acquire+0x1/0x2
 _raw_spin_lock+0x1/0x2
 dummy_poll+0x1/0x2
",
                "inconsistent lock state in dummy_poll",
            ),
            (
                "\
WARNING: suspicious RCU usage
drivers/dummy.c:12 suspicious rcu_dereference_check() usage!
stack backtrace:
Call Trace:
 dump_stack_lvl+0x1/0x2
 lockdep_rcu_suspicious+0x1/0x2
 idr_get_next+0x1/0x2
 dummy_walk+0x1/0x2
",
                "WARNING: suspicious RCU usage in dummy_walk",
            ),
        ],
    );
}

#[test]
fn a_stalled_cpu_is_named_by_the_task_or_the_work_on_it() {
    titles(
        true,
        &[
            (
                "\
INFO: rcu_sched detected stalls on CPUs/tasks: { 0} (detected by 1, t=5252 jiffies)
Task dump for CPU 0:
reader R running 0 2642 2641 0x00000000
Call Trace:
[c7363c70] [c0631338] schedule+0x30/0xbc (unreliable)
[c7363d80] [c007e038] vprintk_emit+0x2c8/0x4cc
[c7363e10] [c0065178] dummy_read_all+0x74/0x8c
[c7363e20] [c00653f4] vfs_read+0x74/0x8c
",
                "INFO: rcu detected stall in dummy_read_all",
            ),
            (
                "\
rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... } 6 jiffies s: 85
Task dump for CPU 0:
task:kworker/u4:4    state:R  running task     stack:    0 pid:  314 ppid:     2
Workqueue: events_unbound dummy_check [dummy]
Call Trace:
 __schedule+0x246/0x5c0
 __cond_resched+0x33/0x50
 process_one_work+0x23c/0x3f0
 worker_thread+0x50/0x3e0
",
                "INFO: rcu detected stall in dummy_check",
            ),
            (
                "\
NMI watchdog: Watchdog detected hard LOCKUP on cpu 1
CPU: 1 PID: 0 Comm: swapper/1 Not tainted 5.10.0 #1
RIP: 0010:dummy_submit+0x1/0x2
Call Trace:
 <IRQ>
 dummy_flush+0x83/0xb0
 dummy_timeout+0x34/0xa0
 call_timer_fn+0x2d/0x130
 </IRQ>
 asm_sysvec_apic_timer_interrupt+0x12/0x20
RIP: 0010:cpuidle_enter_state+0xc7/0x350
 cpuidle_enter+0x29/0x40
 do_idle+0x1e4/0x280
",
                "hard lockup in dummy_timeout",
            ),
        ],
    );
    // A thread of RCU's own waits as it should.
    let log = "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:\nrcu: RCU grace-period kthread stack dump:\nCall Trace:\n __schedule+0x1/0x2\n schedule+0x1/0x2\n rcu_gp_kthread+0x1/0x2\n kthread+0x1/0x2\n";
    assert_eq!(found(log).frame, None);
}

#[test]
fn a_task_that_only_waits_names_no_entry() {
    titles(
        false,
        &[(
            "\
INFO: task reader:28445 blocked for more than 120 seconds.
[<8079ef70>] (__schedule) from [<8079f5d8>] (schedule+0x50/0xa8)
[<8079f5d8>] (schedule) from [<807a1d6c>] (down_read+0x5c/0x60)
[<807a1d6c>] (down_read) from [<807a5418>] (do_page_fault+0xfc/0x3a4)
[<807a5418>] (do_page_fault) from [<801011e0>] (do_DataAbort+0x48/0xc4)
[<801011e0>] (do_DataAbort) from [<807a4e64>] (__dabt_usr+0x44/0x60)
",
            "INFO: task hung in do_page_fault",
        )],
    );
    for entry in ["ret_from_fork", "kernel_thread_helper", "ret_from_kernel_thread"] {
        let log = format!(
            "INFO: task x:9 blocked for more than 120 seconds.\nCall Trace:\n __schedule+0x1/0x2\n schedule+0x1/0x2\n kthread+0x1/0x2\n {entry}+0x1/0x2\n"
        );
        assert_eq!(found(&log).frame, None, "{log}");
    }
    let log = "Unable to handle kernel paging request at virtual address 00000061\nOops [#1]\nWorkqueue:  0x0 (dummy_complete)\nepc: ffffffe00022affe ra : ffffffe00022afea sp : ffffffe086d3fe30\n";
    assert_eq!(found(log).frame, None);
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
fn a_busy_cpu_without_a_dispatcher_on_its_stack_is_named_by_where_it_was() {
    titles(
        false,
        &[
            (
                "\
Kernel panic - not syncing: Watchdog detected hard LOCKUP on cpu 3
Pid: 4567, comm: foo Not tainted 2.6.32 #1
Call Trace:
 <NMI>  [<ffffffff8152859c>] ? panic+0xa7/0x16f
 [<ffffffff810e6b7d>] ? watchdog_overflow_callback+0xcd/0xd0
 [<ffffffff8152be50>] ? nmi+0x20/0x30
 [<ffffffff8152a27e>] ? _raw_spin_lock+0x1e/0x30
 <<EOE>>  <IRQ>  [<ffffffff81055ab0>] ? dummy_rq_lock+0x50/0xa0
 [<ffffffff81063a6c>] ? dummy_wake+0x3c/0x3e0
",
                "hard lockup in dummy_rq_lock",
            ),
            (
                "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [x:1]\nRIP: 0010:dummy_spin+0x1/0x2\n",
                "BUG: soft lockup in dummy_spin",
            ),
        ],
    );
}

#[test]
fn early_and_rare_faults_have_headers_of_their_own() {
    titles(
        true,
        &[
            (
                "PANIC: early exception 0x0e IP 10:ffffffff81000123 error 0 cr2 0x10\nCPU: 0 PID: 0 Comm: swapper Not tainted 6.1.0 #1\nRIP: 0010:dummy_early+0x12/0x40\nCall Trace:\n dummy_setup+0x1/0x2\n start_kernel+0x1/0x2\n",
                "PANIC: early exception in dummy_early",
            ),
            (
                "Kernel Fault: Code=15 (Data TLB miss fault) at addr 0000000000000000\nBacktrace:\n [<0000000040123456>] dummy_read+0x20/0x60\n",
                "BUG: unable to handle kernel paging request in dummy_read",
            ),
        ],
    );
}
