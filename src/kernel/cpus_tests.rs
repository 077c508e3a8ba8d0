use super::*;
use crate::kernel::test_kernel::Member::{Array, Number, Of, Text};
use crate::kernel::test_kernel::{DIRECT, Noise, TestKernel};

/// What is added to a per-CPU variable's address, for each CPU.
const OFFSETS: u64 = DIRECT + 0x1_0000;
const MASK: u64 = DIRECT + 0x1_1000;
const PANICKED: u64 = DIRECT + 0x1_2000;
/// Run queues are the per-CPU variable at 0x40.
const QUEUE: u64 = 0x40;
const TASKS: u64 = 4;

fn area(cpu: u64) -> u64 {
    DIRECT + 0x4_0000 + cpu * 0x1000
}

fn task(index: u64) -> u64 {
    DIRECT + 0x2_0000 + index * 0x400
}

fn stack(index: u64) -> u64 {
    DIRECT + 0x10_0000 + index * 0x1_0000
}

/// Two CPUs: task 0 is idle on CPU 0 and `init_task`, task 1 is idle on CPU 1, which runs task 2.
/// Task 3 sleeps.
fn kernel() -> TestKernel {
    let mut kernel = TestKernel::new();
    let number = |offset| (Number(8), offset);
    let word = kernel.structure("word", 8, &[("bits", Number(8), 0)]);
    kernel.structure("cpumask", 8, &[("words", Array(word, 1), 0)]);
    let queue = [("curr", Number(8), 0), ("idle", Number(8), 8)];
    kernel.structure("rq", 0x10, &queue);
    let list = kernel.structure("list_head", 16, &[("next", Number(8), 0), ("prev", Number(8), 8)]);
    kernel.structure("signal_struct", 0x10, &[("thread_head", Of(list), 0)]);
    let names = ["__state", "exit_state", "pid", "tgid", "cpu", "on_cpu", "flags"];
    let mut members: Vec<_> =
        (0_u32..).zip(names).map(|(index, name)| (name, Number(4), index * 4)).collect();
    for (name, offset) in [("real_parent", 0x20), ("stack", 0x28), ("mm", 0x30), ("signal", 0x38)] {
        let (member, offset) = number(offset);
        members.push((name, member, offset));
    }
    members.extend([
        ("tasks", Of(list), 0x40),
        ("thread_node", Of(list), 0x50),
        ("comm", Text(16), 0x60),
    ]);
    kernel.structure("task_struct", 0x80, &members);
    let mut kernel = kernel
        .symbol("__per_cpu_offset", OFFSETS)
        .symbol("__cpu_possible_mask", MASK)
        .symbol("panic_cpu", PANICKED)
        .symbol("runqueues", QUEUE)
        .symbol("init_task", task(0))
        .words(OFFSETS, &[area(0), area(1)])
        .words(MASK, &[0b11])
        .words(PANICKED, &[1])
        .words(area(0) + QUEUE, &[task(0), task(0)])
        .words(area(1) + QUEUE, &[task(2), task(1)]);
    for index in 0..TASKS {
        let pid = if index < 2 { 0 } else { index };
        let cpu = u64::from(index > 0);
        let on_cpu = u64::from(index == 0 || index == 2);
        kernel = kernel
            .words(task(index), &[0, pid << 32 | pid, on_cpu << 32 | cpu])
            .words(task(index) + 0x20, &[task(0), stack(index)])
            .bytes(task(index) + 0x60, format!("task {index}").as_bytes());
    }
    kernel.list(task(0) + 0x40, &[task(2) + 0x40, task(3) + 0x40])
}

fn seen(per_cpu: Option<u64>, sp: u64, user: Option<bool>) -> VcpuState {
    VcpuState { per_cpu, sp, user }
}

/// A CPU's number, its vCPU, and what it is doing.
type Summary = (u32, Option<(usize, Matched)>, Mode);

fn summary(cpus: &Cpus) -> Vec<Summary> {
    cpus.cpus.iter().map(|cpu| (cpu.number, cpu.vcpu, cpu.mode)).collect()
}

#[test]
fn vcpus_are_matched_by_their_per_cpu_areas_in_any_order() {
    let kernel = kernel().build();
    let vcpus =
        [seen(Some(area(1)), stack(2), Some(false)), seen(Some(area(0)), stack(0), Some(false))];
    let cpus = Cpus::matched(&kernel, &vcpus);
    let by = |vcpu| Some((vcpu, Matched::PerCpu));
    assert_eq!(summary(&cpus), [(0, by(1), Mode::Idle), (1, by(0), Mode::Kernel)]);
    assert_eq!((cpus.panicked, &cpus.findings[..]), (Some(1), &[][..]));
    assert_eq!(cpus.of_vcpu(0).unwrap().current, Some(VirtAddr(task(2))));
    let user = Cpus::matched(&kernel, &[seen(Some(area(1)), 0x7fff_0000, Some(true))]);
    assert_eq!(user.cpus[1].mode, Mode::User);
}

#[test]
fn vcpus_without_such_an_area_are_matched_by_the_stack_of_their_task() {
    let kernel = kernel().build();
    let vcpus = [seen(None, stack(2) + 0x3000, Some(false)), seen(None, stack(0) + 8, Some(false))];
    let by = |vcpu| Some((vcpu, Matched::Stack));
    let cpus = Cpus::matched(&kernel, &vcpus);
    assert_eq!(summary(&cpus), [(0, by(1), Mode::Idle), (1, by(0), Mode::Kernel)]);
}

#[test]
fn vcpus_without_any_evidence_are_matched_by_their_number() {
    let kernel = kernel().build();
    let by = |vcpu| Some((vcpu, Matched::Number));
    // In user mode, or with a stack and an area that no CPU has.
    let vcpus =
        [seen(None, 0x7fff_0000, Some(true)), seen(Some(0x1234), 8, None), seen(None, 8, None)];
    let cpus = Cpus::matched(&kernel, &vcpus);
    assert_eq!(summary(&cpus), [(0, by(0), Mode::User), (1, by(1), Mode::Kernel)]);
    assert_eq!(cpus.findings, ["vCPU 2 is no CPU that the kernel knows"]);
}

#[test]
fn two_vcpus_of_one_area_are_not_one_cpu() {
    let kernel = kernel().build();
    let same = seen(Some(area(0)), stack(0), Some(false));
    let cpus = Cpus::matched(&kernel, &[same, same]);
    assert_eq!(cpus.cpus[0].vcpu, Some((0, Matched::PerCpu)));
    assert_eq!(cpus.cpus[1].vcpu, Some((1, Matched::Number)));
}

#[test]
fn a_kernel_without_a_mask_of_cpus_costs_a_finding() {
    let empty = TestKernel::new().build();
    let cpus = Cpus::matched(&empty, &[seen(Some(area(0)), 0, Some(false)), seen(None, 0, None)]);
    let by = |vcpu| Some((vcpu, Matched::Number));
    assert_eq!(summary(&cpus), [(0, by(0), Mode::Kernel), (1, by(1), Mode::Unknown)]);
    assert!(cpus.findings[0].contains("matched by their numbers") && cpus.panicked.is_none());
}

#[test]
fn no_panic_is_no_cpu() {
    let kernel = kernel().bytes(PANICKED, &[0xff; 4]).build();
    assert_eq!(Cpus::matched(&kernel, &[]).panicked, None);
}

#[test]
fn random_damage_gives_each_vcpu_once_at_most() {
    let whole = kernel();
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    for _ in 0..200 {
        let mut damaged = whole.clone();
        for place in [
            OFFSETS + noise.below(2) * 8,
            area(noise.below(2)) + QUEUE + noise.below(2) * 8,
            task(noise.below(TASKS)) + noise.below(16) * 8,
        ] {
            let word = if noise.below(2) == 0 { task(noise.below(TASKS)) } else { noise.next() };
            damaged.write(place, &word.to_le_bytes());
        }
        if noise.below(4) == 0 {
            damaged.write(MASK, &noise.next().to_le_bytes());
        }
        let vcpus =
            [seen(Some(area(0)), stack(0), Some(false)), seen(None, stack(2) + 64, Some(false))];
        let cpus = Cpus::matched(&damaged.build(), &vcpus);
        let mut matched: Vec<_> =
            cpus.cpus.iter().filter_map(|cpu| cpu.vcpu).map(|(vcpu, _)| vcpu).collect();
        matched.sort_unstable();
        let before = matched.len();
        matched.dedup();
        assert!(matched.len() == before && cpus.cpus.len() <= 64);
    }
}
