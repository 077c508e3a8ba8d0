//! Real guests: a Debian kernel under QEMU that panics, and is captured.
//!
//! Needs: `samples/guest/build` has run, and the judges are installed
//! (`tests/run` does both). Without `VMCORECTL_TEST_ALL` in the environment, the tests
//! here are left out. With `VMCORECTL_TEST_FULL` in the environment, `crash`
//! judges, too, which needs the kernel's debug symbols, and guests of other kernels.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod attached;
mod call_trace;
mod crashes;
mod direct;
mod domain;
mod filled;
mod filtered;
mod fleet;
mod formats;
mod generated;
mod held;
mod hooked;
mod imported;
mod judges;
mod kernel_facts;
mod kernels;
mod layouts;
#[path = "../tool/leave_out.rs"]
mod leave_out;
mod libvirt;
mod live;
mod machine;
mod made_files;
mod memory_use;
mod mounted;
mod other_clients;
mod page_judges;
mod printing;
mod ranged;
mod reading;
mod registers;
mod releases;
mod same_memory;
mod searching;
mod shapes;
mod stacks;
mod symbols;
#[path = "../tool/mod.rs"]
mod tool;
mod turn;
mod watched;
