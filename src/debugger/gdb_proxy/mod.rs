//! Between gdb and QEMU's server for it: gdb may leave, and the guest stays as it is.
//!
//! ```text
//! gdb ──► listener ──► proxy ──► QEMU        m, g, Z, qXfer ...   passed on
//!                        │                   c, s, vCont;         passed on: a person typed it
//!                        └── D, k, vKill      answered here: QEMU would resume the guest, or end
//! ```
//!
//! gdb that is killed only closes its connection. When the proxy ends, it removes the breakpoints
//! that gdb left: a software breakpoint is in the guest's memory. While the guest runs, any byte
//! would stop it, so QEMU gets none but gdb's request to stop. Nothing here lets it run.
//!
//! Needs: a connection to QEMU's server, and a socket on which gdb is awaited. Does not open the
//! server ([`crate::monitor`]).

mod session;
mod stub;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

pub use session::Outcome;

/// A proxy that runs.
#[derive(Debug)]
pub struct GdbProxy {
    stop: UnixStream,
    thread: JoinHandle<Outcome>,
}

impl GdbProxy {
    /// Awaits gdb on `listener`, and passes on what it may ask over `stub`.
    ///
    /// # Errors
    /// Fails if the system gives no thread or socket.
    pub fn start(listener: UnixListener, stub: UnixStream) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        listener.set_nonblocking(true)?;
        let stub = stub::Stub::new(stub)?;
        let run = move || session::run(&listener, stub, &stopped);
        let thread = thread::Builder::new().name("gdb-proxy".to_owned()).spawn(run)?;
        Ok(Self { stop, thread })
    }

    /// Ends it: gdb loses its connection, and the breakpoints that it left are removed.
    pub fn end(self) -> Outcome {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
