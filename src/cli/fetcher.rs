//! The hidden command that fetches for another one, which is confined.
//!
//! Not for people: its standard input is a socket of that process ([`crate::remote`]).

use super::exit::Exit;

/// Answers until the other process closes the socket.
#[cfg(feature = "remote")]
pub(super) fn run() -> anyhow::Result<Exit> {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use crate::remote::fetch::{Environment, serve};
    use crate::sandbox::confine;
    use crate::sandbox::limits::{Limits, Reads};

    // It has credentials: no core file of it, and bounded memory.
    confine::only_limits(&Limits::of_stored(0, Reads::Unlimited));
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    serve(socket, &Environment::of(std::env::vars_os()))?;
    Ok(Exit::Done)
}

#[cfg(not(feature = "remote"))]
pub(super) fn run() -> anyhow::Result<Exit> {
    anyhow::bail!("{}", crate::remote::LEFT_OUT)
}
