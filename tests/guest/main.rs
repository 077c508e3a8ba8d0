//! Real guests: a Debian kernel under QEMU that panics, and is captured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../tool/mod.rs"]
mod tool;
