//! Checks that failed: the hardware's, the kernel's and those of modules.

use super::report_tests::{no_crash, titles};

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
fn early_and_rare_faults_have_headers_of_their_own() {
    titles(
        true,
        &[(
            "\
Unhandled 64-bit el1h sync exception on CPU1, ESR 0x0000000034000003 -- BTI
CPU: 1 PID: 77 Comm: caller Not tainted 6.1.0 #1
pc : dummy_target+0x0/0x80 [dummy]
lr : dummy_call+0x24/0x80 [dummy]
Kernel panic - not syncing: Unhandled exception
CPU: 1 PID: 77 Comm: caller Not tainted 6.1.0 #1
Call trace:
 panic+0x1/0x2
 el1h_64_sync_handler+0x1/0x2
 dummy_target+0x0/0x80 [dummy]
",
            "Unhandled exception in dummy_target",
        )],
    );
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

#[test]
fn scheduling_while_atomic_is_named_by_what_sleeps_in_it() {
    titles(
        true,
        &[
            (
                "BUG: scheduling while atomic: dummyd/345/0x00000002\nCall trace:\n __schedule_bug from __schedule+0x600/0x880\n __schedule from schedule+0x5c/0xcc\n schedule from schedule_timeout+0xc4/0x180\n schedule_timeout from msleep+0x34/0x40\n msleep from dummy_reset+0x24/0x60 [dummy]\n",
                "BUG: scheduling while atomic in dummy_reset",
            ),
            (
                "BUG: scheduling while atomic: dummyd/3/0x00000100\nCall Trace:\n __schedule_bug+0x1/0x2\n __schedule+0x1/0x2\n schedule+0x1/0x2\n schedule_hrtimeout_range_clock+0x1/0x2\n usleep_range_state+0x1/0x2\n dummy_poll+0x1/0x2\n",
                "BUG: scheduling while atomic in dummy_poll",
            ),
            (
                "BUG: scheduling while atomic: dummyd/3/0x00000100\nCall Trace:\n __schedule_bug+0x1/0x2\n __schedule+0x1/0x2\n schedule+0x1/0x2\n schedule_timeout+0x1/0x2\n wait_for_completion+0x1/0x2\n __wait_rcu_gp+0x1/0x2\n synchronize_rcu+0x1/0x2\n dummy_unlink+0x1/0x2\n",
                "BUG: scheduling while atomic in dummy_unlink",
            ),
        ],
    );
}
