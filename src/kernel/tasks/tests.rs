use super::*;
use crate::kernel::test_kernel::Member::{Array, Number, Of, Text};
use crate::kernel::test_kernel::{DIRECT, TestKernel};

/// What is added to a per-CPU pointer, for each CPU.
const OFFSETS: u64 = DIRECT + 0x1_0000;
const MASK: u64 = DIRECT + 0x2_4000;
/// One page of parts, of all CPUs.
const PARTS: u64 = DIRECT + 0x2_6000;
const MMS: u64 = DIRECT + 0x3_0000;
const SIGNALS: u64 = DIRECT + 0x6_0000;
const TASKS: u64 = DIRECT + 0x10_0000;
const TASK: u64 = 0x80;

fn task(index: u64) -> u64 {
    TASKS + index * TASK
}

fn signal(index: u64) -> u64 {
    SIGNALS + index * 0x40
}

fn mm(index: u64) -> u64 {
    MMS + index * 0x40
}

/// `init_task`, and leaders with pids from 1 on, on a kernel with room for 8192 CPUs. Each leader
/// has a `signal_struct` and an `mm_struct`. Each part of a sum is 1, and each sum 100.
fn kernel(leaders: u64, cpus: u64) -> TestKernel {
    let mut kernel = TestKernel::new();
    let word = kernel.structure("word", 8, &[("bits", Number(8), 0)]);
    kernel.structure("cpumask", 1024, &[("words", Array(word, 128), 0)]);
    let list = kernel.structure("list_head", 16, &[("next", Number(8), 0), ("prev", Number(8), 8)]);
    kernel.structure("signal_struct", 0x10, &[("thread_head", Of(list), 0)]);
    let counter = [("count", Number(8), 0), ("counters", Number(8), 8)];
    let counter = kernel.structure("percpu_counter", 16, &counter);
    kernel.structure("mm_struct", 0x40, &[("rss_stat", Array(counter, 4), 0)]);
    let names = ["__state", "exit_state", "pid", "tgid", "cpu", "on_cpu", "flags"];
    let mut members: Vec<_> =
        (0_u32..).zip(names).map(|(index, name)| (name, Number(4), index * 4)).collect();
    for (name, offset) in [("real_parent", 0x20), ("stack", 0x28), ("mm", 0x30), ("signal", 0x38)] {
        members.push((name, Number(8), offset));
    }
    members.extend([
        ("tasks", Of(list), 0x40),
        ("thread_node", Of(list), 0x50),
        ("comm", Text(16), 0x60),
    ]);
    kernel.structure("task_struct", TASK as u32, &members);
    let mut kernel = kernel
        .symbol("__per_cpu_offset", OFFSETS)
        .symbol("__cpu_possible_mask", MASK)
        .symbol("init_task", task(0))
        .words(PARTS, &[1]);
    for cpu in 0..cpus {
        kernel.write(MASK + cpu / 8, &[(0xff_u32 >> (7 - cpu % 8)) as u8]);
    }
    for index in 0..=leaders {
        let write = |kernel: &mut TestKernel, at: u64, words: &[u64]| {
            let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            kernel.write(at, &bytes);
        };
        write(&mut kernel, task(index), &[0, index << 32 | index, 0, 0, task(0), 0]);
        if index > 0 {
            write(&mut kernel, task(index) + 0x30, &[mm(index), signal(index)]);
            write(&mut kernel, mm(index), &[100, PARTS, 100, PARTS, 9, 0, 100, PARTS]);
            let thread = task(index) + 0x50;
            write(&mut kernel, signal(index), &[thread, thread]);
            write(&mut kernel, thread, &[signal(index), signal(index)]);
        }
    }
    let nodes: Vec<_> = (1..=leaders).map(|index| task(index) + 0x40).collect();
    kernel.list(task(0) + 0x40, &nodes)
}

fn pids(tasks: &Tasks) -> Vec<i32> {
    tasks.tasks.iter().map(|task| task.pid).collect()
}

fn has(tasks: &Tasks, text: &str) -> bool {
    tasks.findings.iter().any(|finding| finding.contains(text))
}

#[test]
fn a_processs_size_is_its_sums_and_the_parts_of_all_cpus() {
    let kernel = kernel(3, 5).build();
    let tasks = kernel.tasks();
    assert_eq!(pids(tasks), [0, 1, 2, 3]);
    // Three sums, each with the parts of five CPUs.
    let size = Some(3 * (100 + 5) * 4096);
    assert_eq!(
        tasks.tasks.iter().map(|task| task.rss_bytes).collect::<Vec<_>>(),
        [None, size, size, size]
    );
}

/// 8192 CPUs, 400 processes and three sums each are 10 million parts.
#[test]
fn sizes_that_have_too_many_parts_are_unknown_with_a_finding() {
    let kernel = kernel(400, 8192).build();
    let tasks = kernel.tasks();
    assert_eq!(tasks.tasks.len(), 401);
    assert!(tasks.tasks.iter().all(|task| task.rss_bytes.is_none()));
    assert!(has(tasks, "how much memory 400 processes have was not read"), "{:?}", tasks.findings);
}

#[test]
fn threads_of_processes_with_one_signal_struct_are_listed_once() {
    let mut kernel = kernel(3, 1);
    for index in 2..=3 {
        kernel.write(task(index) + 0x38, &signal(1).to_le_bytes());
    }
    let kernel = kernel.build();
    let tasks = kernel.tasks();
    assert_eq!(pids(tasks), [0, 1, 2, 3]);
    assert!(has(tasks, "process 2 has another's threads"), "{:?}", tasks.findings);
}

/// The heads of all lists of threads are in one ring: each walk from one of them is whole, and goes
/// by all others.
#[test]
fn processes_that_share_one_long_list_of_threads_take_from_one_budget() {
    const LEADERS: u64 = 1500;
    let heads: Vec<_> = (1..=LEADERS).map(signal).collect();
    let kernel = kernel(LEADERS, 1).list(heads[0], &heads[1..]).build();
    let tasks = kernel.tasks();
    for pid in [1, 2, LEADERS as i32] {
        assert!(pids(tasks).contains(&pid), "leaders come before any budget is spent");
    }
    assert!(has(tasks, "more than is read of any guest"), "{:?}", tasks.findings);
    // What comes after it has a budget of its own.
    assert!(kernel.modules().findings.iter().all(|finding| !finding.contains("more than is read")));
}

/// Each leader of one pid had all children of that pid below it, before it was known which of
/// them were seen.
#[test]
fn a_tree_of_tasks_with_one_pid_has_each_of_them_once() {
    let mut kernel = kernel(3000, 1);
    for index in 1..=3000_u64 {
        let (pid, parent) = if index % 2 == 0 { (7_u64, 0) } else { (index + 10, 2) };
        kernel.write(task(index) + 8, &(pid << 32 | pid).to_le_bytes());
        kernel.write(task(index) + 0x20, &task(parent).to_le_bytes());
    }
    let kernel = kernel.build();
    let tree = kernel.tasks().tree();
    assert_eq!(tree.len(), 3001);
}
