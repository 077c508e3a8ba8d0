//! What the commands answer on the sample core, compared with what is expected.
//!
//! Each line of `transcripts!` is a command on `samples/core/linux-6.1.zst`; what
//! it prints, what it says and its exit code stand in `expected/NAME.txt`.
//! With `VMCORECTL_RENEW=1` in the environment the answers of today become the
//! expected ones: read their difference before it is committed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod difference;
#[allow(dead_code, reason = "other suites need the rest of it")]
#[path = "../tool/mod.rs"]
mod tool;
mod transcript;

/// The sample, as seen from the project's folder, in which the commands run.
pub(crate) const CORE: &str = "samples/core/linux-6.1.zst";

/// Makes a test of each line, and a list of all of them.
macro_rules! transcripts {
    ($($name:ident: $($argument:expr)+;)+) => {
        /// The names of all transcripts.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),+];

        mod answers {
            #[allow(unused_imports, reason = "not every command names the core")]
            use super::*;
            $(#[test]
            fn $name() {
                transcript::check(stringify!($name), &[$($argument),+]);
            })+
        }
    };
}

// A line is the name of the test, and what is typed after `vmcorectl`.
transcripts! {
    info: "info" CORE;
    info_json: "info" CORE "--json";
    verify: "verify" CORE;
    verify_json: "verify" CORE "--json";
}
