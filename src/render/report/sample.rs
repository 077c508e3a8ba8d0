//! A report for tests: it has every part, and the guest's texts are hostile.

use crate::triage::report::data::{
    Blocked, Bugcheck, BugcheckParameter, Cpu, CpuState, Event, Finding, Kernel, Log, Machine,
    Memory, MemoryPart, Module, Mount, OtherEvent, Panicked, Register, Report, ReportedRecord,
    SCHEMA, Stack, StackFrame, StateCount, Taint, TaintFlag, Task, TaskCounts, TitleSource, Trust,
};

/// A report that has `hostile` in every text of the guest.
pub(super) fn report(hostile: &str) -> Report {
    let text = |what: &str| format!("{what}{hostile}");
    let task = |pid| Task {
        pid: Some(pid),
        comm: Some(text("sh")),
        address: Some("0xffff888000001000".to_owned()),
    };
    let frame = |function: &str| StackFrame {
        address: "0xffffffff81000000".to_owned(),
        function: Some(text(function)),
        module: Some(text("ext4")),
        trust: "orc".to_owned(),
        entry: Some(text("exception")),
    };
    let stack =
        || Stack { frames: vec![frame("panic"), frame("vfs_write")], end: Some(text("end")) };
    let cpu = |number, state| Cpu {
        vcpu: number as usize,
        cpu: Some(number),
        state,
        task: Some(task(1)),
        registers: vec![Register { name: text("rip"), value: text("0x10") }],
        stack: stack(),
    };
    Report {
        schema: SCHEMA.to_owned(),
        tool: "vmcorectl 0.1.0".to_owned(),
        title: text("BUG: bad thing in foo"),
        alt_titles: vec![text("bad-access in foo")],
        kind: Some("null".to_owned()),
        r#type: Some("NULL-POINTER-DEREFERENCE".to_owned()),
        trust: Trust::Certain,
        title_source: TitleSource::Log,
        function: Some(text("foo")),
        pc_function: Some(text("foo")),
        module: Some(text("foo_mod")),
        corrupted: false,
        signature: Some("v1-abcdefghijklmnop".to_owned()),
        variant: Some("0123456789ab".to_owned()),
        weak: true,
        panic_message: Some(text("Fatal exception")),
        event: Some(Event { time_ns: Some(1), why: text("why"), evidence: vec![text("record")] }),
        other_events: vec![OtherEvent {
            time_ns: Some(5),
            title: text("WARNING"),
            signature: None,
        }],
        bugcheck: Some(Bugcheck {
            code: "0x0000000a".to_owned(),
            name: Some("IRQL_NOT_LESS_OR_EQUAL".to_owned()),
            parameters: vec![BugcheckParameter {
                value: "0x1".to_owned(),
                meaning: Some(text("x")),
            }],
        }),
        panicked: Some(Panicked { cpu: Some(1), vcpu: Some(1), task: Some(task(1)) }),
        cpus: vec![cpu(0, CpuState::Idle), cpu(1, CpuState::Panicked)],
        kernel: Kernel {
            release: Some(text("6.1.0")),
            version: Some(text("#1 SMP")),
            build_id: Some(text("abc")),
            command_line: Some(text("console=ttyS0")),
            uptime_seconds: Some(61.5),
            taint: Some(Taint {
                mask: 1,
                flags: vec![TaintFlag { letter: text("P"), meaning: text("proprietary") }],
            }),
        },
        machine: Machine {
            guest: Some(text("web")),
            architecture: Some(text("x86_64")),
            vcpus: 2,
            memory_bytes: 1 << 30,
            qemu: Some(text("7.2")),
            machine_type: Some(text("pc")),
            hardware: Some(text("QEMU")),
            core_format: text("ELF"),
            noticed: Some(text("2026-01-01T00:00:00Z")),
        },
        tasks: Some(TaskCounts {
            processes: 3,
            threads: 9,
            kernel_threads: 5,
            states: vec![StateCount { state: text("sleeping"), count: 9 }],
        }),
        blocked: vec![Blocked { tasks: vec![task(9)], count: 3, stack: stack() }],
        modules: vec![Module {
            name: text("foo_mod"),
            address: Some("0xffffffffc0000000".to_owned()),
            size: Some(4096),
            taints: Some(text("OE")),
            users: Some(vec![text("bar")]),
            build_id: Some(text("c0ffee")),
        }],
        memory: Some(Memory {
            total_bytes: 1 << 30,
            available_bytes: Some(3 << 28),
            parts: vec![MemoryPart { name: text("free"), bytes: 1 << 29 }],
        }),
        mounts: vec![Mount {
            device: text("/dev/vda1"),
            mount_point: Some(text("/")),
            r#type: text("ext4"),
            options: vec![text("rw"), text("relatime")],
            total_bytes: Some(1 << 33),
            used_bytes: Some(1 << 32),
            available_bytes: Some(1 << 31),
        }],
        log: Log {
            records: 7,
            last: vec![ReportedRecord {
                time_ns: 1_500_000_000,
                level: 0,
                text: text("Kernel panic\nmore"),
            }],
        },
        findings: (0..5)
            .map(|_| Finding { about: text("log"), text: text("gone"), trust: Trust::Likely })
            .collect(),
    }
}
