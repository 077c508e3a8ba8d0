//! Tasks, for people and as JSON.
//!
//! ```text
//!      PID   PPID S CPU         RSS        TIME COMMAND
//! >      1      0 R   1    1.75 MiB    0:01.240 init
//!      103      1 S   0    4.00 KiB    0:00.008 sleep
//! ```
//!
//! `>` is on a CPU. `-` is not known.

use std::io::{self, Write};

use serde::Serialize;

use super::json::hex;
use crate::kernel::tasks::Task;
use crate::printable::shown;
use crate::units::bytes;

/// The schema of tasks as JSON.
pub const SCHEMA: &str = "vmcorectl/tasks/1";
/// The most levels of a tree.
const MAX_DEPTH: usize = 32;

/// A line of the list.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The task.
    pub task: &'a Task,
    /// Its CPU time in nanoseconds; for a process, with all of its threads.
    pub time_ns: Option<u64>,
    /// Its level in the tree of tasks.
    pub depth: usize,
}

/// Prints a list of tasks.
pub fn text(rows: &[Row<'_>], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "  {:>7} {:>7} S {:>3} {:>11} {:>11} COMMAND",
        "PID", "PPID", "CPU", "RSS", "TIME"
    )?;
    for row in rows {
        let Task { pid, tgid, ppid, comm, state, cpu, on_cpu, .. } = row.task;
        let mark = if *on_cpu { '>' } else { ' ' };
        let size = row.task.rss_bytes.map_or_else(unknown, bytes);
        let cpu = cpu.map_or_else(unknown, |cpu| cpu.to_string());
        let ppid = ppid.map_or_else(unknown, |ppid| ppid.to_string());
        let indent = "  ".repeat(row.depth.min(MAX_DEPTH));
        let comm = shown(comm);
        let comm = if row.task.kernel_thread { format!("[{comm}]") } else { comm };
        let thread = if pid == tgid { String::new() } else { format!(" (thread of {tgid})") };
        writeln!(
            out,
            "{mark} {pid:>7} {ppid:>7} {state} {cpu:>3} {size:>11} {:>11} {indent}{comm}{thread}",
            row.time_ns.map_or_else(unknown, time),
        )?;
    }
    Ok(())
}

/// What is printed for what is not known.
fn unknown() -> String {
    "-".to_owned()
}

/// Minutes, seconds and thousandths.
fn time(nanos: u64) -> String {
    let millis = nanos / 1_000_000;
    let (minutes, seconds) = (millis / 60_000, millis / 1000 % 60);
    format!("{minutes}:{seconds:02}.{:03}", millis % 1000)
}

/// Tasks as JSON.
#[derive(Debug, Serialize)]
pub struct TasksJson<'a> {
    schema: &'static str,
    tasks: Vec<JsonTask<'a>>,
    findings: &'a [String],
}

#[derive(Debug, Serialize)]
struct JsonTask<'a> {
    pid: i32,
    tgid: i32,
    ppid: Option<i32>,
    comm: &'a str,
    state: char,
    cpu: Option<u32>,
    on_cpu: bool,
    kernel_thread: bool,
    rss_bytes: Option<u64>,
    start_ns: Option<u64>,
    user_ns: Option<u64>,
    system_ns: Option<u64>,
    time_ns: Option<u64>,
    #[serde(serialize_with = "hex")]
    address: u64,
}

impl<'a> TasksJson<'a> {
    /// The tasks and their findings.
    pub fn new(rows: &[Row<'a>], findings: &'a [String]) -> Self {
        let task = |row: &Row<'a>| JsonTask {
            pid: row.task.pid,
            tgid: row.task.tgid,
            ppid: row.task.ppid,
            comm: &row.task.comm,
            state: row.task.state.letter(),
            cpu: row.task.cpu,
            on_cpu: row.task.on_cpu,
            kernel_thread: row.task.kernel_thread,
            rss_bytes: row.task.rss_bytes,
            start_ns: row.task.start_ns,
            user_ns: row.task.user_ns,
            system_ns: row.task.system_ns,
            time_ns: row.time_ns,
            address: row.task.at.0,
        };
        Self { schema: SCHEMA, tasks: rows.iter().map(task).collect(), findings }
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_minutes_seconds_and_thousandths() {
        assert_eq!(time(0), "0:00.000");
        assert_eq!(time(61_002_999_999), "1:01.002");
    }
}
