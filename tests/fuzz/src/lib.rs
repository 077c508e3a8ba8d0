//! Fuzz targets: each decoder, reader and parser, and whole commands on a damaged core.
//!
//! ```text
//! input ──► target ──► code under test ──► output
//!              │            │                 │
//!              └── limits: processor time, memory, size; no control characters; JSON that reads back
//! ```
//!
//! Needs: an input, of any bytes. Gives: nothing if all is well; a finding is a panic, and so is a
//! limit that is exceeded. `tests/fuzz/run` runs all targets under libFuzzer, and `cargo test
//! --workspace` runs the inputs in `seeds`.
#![allow(clippy::panic, clippy::expect_used, reason = "a finding is a panic")]

mod allocator;
mod converted;
mod core;
mod decoders;
mod input;
mod limits;
mod output;
mod qmp;
mod readers;
mod sparse;
mod tables;
mod text;

/// Something to be fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `seeds`.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "age", run: readers::age },
    Target { name: "btf", run: decoders::btf::run },
    Target { name: "chunked", run: readers::chunked },
    Target { name: "console", run: text::console },
    Target { name: "converted", run: converted::run },
    Target { name: "core", run: core::run },
    Target { name: "elf", run: readers::elf },
    Target { name: "families", run: text::families },
    Target { name: "flattened", run: readers::flattened },
    Target { name: "headers", run: decoders::headers::run },
    Target { name: "kallsyms", run: decoders::kallsyms::run },
    Target { name: "kdump", run: readers::kdump },
    Target { name: "libvirt", run: decoders::libvirt::run },
    Target { name: "monitor-text", run: decoders::monitor_text::run },
    Target { name: "notes", run: decoders::notes::run },
    Target { name: "orc", run: decoders::orc::run },
    Target { name: "pack", run: readers::pack },
    Target { name: "pages", run: decoders::pages::run },
    Target { name: "paging", run: decoders::paging::run },
    Target { name: "printk", run: decoders::printk::run },
    Target { name: "qmp", run: qmp::run },
    Target { name: "table", run: tables::table },
    Target { name: "windows", run: readers::windows },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
