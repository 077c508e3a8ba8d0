//! Starts the fetcher: a second process of this program.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{COMMAND, RemoteError};

/// Starts it. It ends when its socket is closed, and so with this process at the latest.
///
/// The address is not among its arguments, which every user of the host can read.
pub fn start() -> Result<UnixStream, RemoteError> {
    let spawn = || {
        let (ours, theirs) = UnixStream::pair()?;
        Command::new("/proc/self/exe")
            .arg0(env!("CARGO_PKG_NAME"))
            .arg(COMMAND)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(ours)
    };
    spawn().map_err(|error: std::io::Error| RemoteError::Start { problem: error.to_string() })
}
