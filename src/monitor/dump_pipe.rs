//! The pipe that a guest's memory comes through.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// The name under which QEMU keeps the pipe. Always the same, so that what an
/// earlier capture left behind is found and closed.
pub(crate) const DESCRIPTOR: &str = "vmcorectl-dump";
/// The pipe's size where the system allows it, in bytes.
const PIPE_SIZE: usize = 1 << 20;

/// A pipe with as large a buffer as this user may have: its reading end, and the
/// end that QEMU gets.
pub(crate) fn large_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
    // An ordinary user may have less; then the pipe is as large as it is.
    let mut size = PIPE_SIZE;
    while size > 64 << 10 && fcntl_setpipe_size(&read_end, size).is_err() {
        size /= 2;
    }
    Ok((read_end, write_end))
}
