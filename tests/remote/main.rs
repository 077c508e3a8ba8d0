//! Cores that are not on this machine: each command answers as for the same core on disk.
//!
//! Two servers: one of HTTP that is scripted, for what a real one does not do on demand, and
//! `SeaweedFS`, which is the judge of S3's protocol and signatures. `tests/run` installs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod command;
mod credentials;
mod encrypted;
mod entry;
mod equal;
mod fake_bucket;
mod faults;
mod fleet;
mod google;
mod http_server;
mod interrupted;
mod killed;
#[path = "../tool/leave_out.rs"]
mod leave_out;
mod leftovers;
mod listing;
mod mounted;
mod object_storage;
#[path = "../tool/offline.rs"]
mod offline;
mod proxied;
mod proxy;
mod pull;
mod push;
mod pushed_encrypted;
mod retention;
mod seaweedfs;
mod secrets;
mod table_of_pushed;
mod tables;
mod tls;
mod two_hosts;
mod verification;
mod web_identity;
mod writing;

/// The sample, as seen from the project's folder, in which the commands run.
pub(crate) const CORE: &str = "samples/core/linux-6.1.zst";
/// Its name in a URL.
pub(crate) const NAME: &str = "linux-6.1.zst";

pub(crate) fn sample() -> Vec<u8> {
    std::fs::read(command::project().join(CORE)).expect("the sample")
}
