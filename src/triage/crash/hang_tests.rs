//! Lockups, stalls and tasks that wait, in the words of kernels of different ages and
//! architectures.

use super::report_tests::{found, titles};

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
fn a_watchdogs_panic_alone_has_what_was_interrupted_on_its_stack() {
    titles(
        true,
        &[
            (
                "\
Kernel panic - not syncing: softlockup: hung tasks
CPU: 3 PID: 77 Comm: poller Not tainted 3.10.0-514.el7.x86_64 #1
Call Trace:
 <IRQ>  [<ffffffff81685fac>] dump_stack+0x19/0x1b
 [<ffffffff8167f3a3>] panic+0xe3/0x1f2
 [<ffffffff8112f240>] watchdog_timer_fn+0x1b0/0x1c0
 [<ffffffff810b4ad2>] __hrtimer_run_queues+0xd2/0x260
 [<ffffffff810b5070>] hrtimer_interrupt+0xb0/0x1e0
 [<ffffffff81050ff7>] local_apic_timer_interrupt+0x37/0x60
 [<ffffffff816990cf>] smp_apic_timer_interrupt+0x3f/0x60
 [<ffffffff8169761d>] apic_timer_interrupt+0x6d/0x80
 <EOI>  [<ffffffffa0123456>] dummy_poll_ready+0x46/0x90 [dummy]
 [<ffffffff81695f09>] system_call_fastpath+0x16/0x1b
",
                "BUG: soft lockup in dummy_poll_ready",
            ),
            (
                "\
Kernel panic - not syncing: RCU Stall
CPU: 3 PID: 77 Comm: poller Not tainted 5.4.0 #1
Call Trace:
 <IRQ>
 dump_stack+0x19/0x1b
 panic+0xe3/0x1f2
 rcu_sched_clock_irq.cold+0x1b0/0x1c0
 update_process_times+0x2c/0x60
 tick_sched_timer+0x3d/0x80
 __hrtimer_run_queues+0xf7/0x270
 hrtimer_interrupt+0x109/0x220
 smp_apic_timer_interrupt+0x71/0x140
 apic_timer_interrupt+0xf/0x20
 </IRQ>
RIP: 0010:dummy_poll_ready+0x46/0x90 [dummy]
 dummy_read+0x16/0x50 [dummy]
 do_syscall_64+0x57/0x190
",
                "INFO: rcu detected stall in dummy_poll_ready",
            ),
        ],
    );
}
