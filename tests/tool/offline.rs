//! The commands that read a stored core, with arguments that the sample of the tests answers.
//!
//! ENTRY is the core, and OUT a file that is written. `mount` and `debug` run until they are ended,
//! and are tested by themselves.

/// Those that read what a report reads, and the stacks of all tasks: a triage pack is enough.
pub(crate) const IN_PACK: &[&[&str]] = &[
    &["info", "ENTRY"],
    &["info", "ENTRY", "--json"],
    &["info", "ENTRY", "--kernel"],
    &["report", "ENTRY"],
    &["report", "ENTRY", "--json"],
    &["report", "ENTRY", "--format", "html"],
    &["dmesg", "ENTRY"],
    &["dmesg", "ENTRY", "--json"],
    &["bt", "ENTRY", "--all"],
    &["bt", "ENTRY", "--tasks"],
    &["ps", "ENTRY", "--threads"],
    &["ps", "ENTRY", "--blocked"],
    &["mods", "ENTRY"],
    &["mods", "ENTRY", "--json"],
    &["regs", "ENTRY"],
    &["explain", "ENTRY"],
    &["explain", "ENTRY", "--json"],
    &["print", "ENTRY", "init_task.comm"],
];

/// Those that read other memory.
#[allow(dead_code, reason = "not every test that has the others has cores for these")]
pub(crate) const BEYOND_PACK: &[&[&str]] = &[
    &["read", "ENTRY", "2000180", "128"],
    &["read", "ENTRY", "0", "4M", "--raw"],
    &["read", "ENTRY", "-v", "ffffffff94df9b60", "0x1a0"],
    &["read", "ENTRY", "100000000", "16"],
    &["search", "ENTRY", "Linux version "],
    &["search", "ENTRY", "00", "--hex", "--count"],
    &["vtop", "ENTRY", "ffffffff94c10000"],
    &["verify", "ENTRY"],
    &["verify", "ENTRY", "--json"],
    &["print", "ENTRY", "uts_namespace", "init_uts_ns"],
    &["symbols", "ENTRY", "--format", "map", "-o", "OUT"],
    &["symbols", "ENTRY", "-o", "OUT"],
    &["symbols", "ENTRY", "--format", "header", "-o", "OUT"],
    &["export", "ENTRY", "-o", "OUT"],
    &["export", "ENTRY", "--format", "kdump-zstd", "-o", "OUT"],
];
