//! Runs one target: under libFuzzer, or on the inputs that are named.
//!
//! ```text
//! VMCORECTL_FUZZ=TARGET vmcore-fuzz -max_total_time=60 CORPUS SEEDS     with the feature `libfuzzer`
//! VMCORECTL_FUZZ=TARGET cargo run -p vmcore-fuzz -- FILE...             without it
//! ```
#![cfg_attr(feature = "libfuzzer", no_main)]
#![allow(clippy::expect_used, reason = "a wrong call ends the program")]

use std::env;
use std::sync::OnceLock;

use vmcore_fuzz::{Target, target};

/// The target that the environment names.
fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = env::var("VMCORECTL_FUZZ").expect("VMCORECTL_FUZZ names no target");
        target(&name).expect("VMCORECTL_FUZZ names an unknown target")
    })
}

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|input: &[u8]| (chosen().run)(input));

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    for file in env::args_os().skip(1) {
        let input = std::fs::read(&file).expect("the input cannot be read");
        (chosen().run)(&input);
    }
}
