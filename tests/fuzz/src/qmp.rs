//! Lines of QMP: a client that is answered with the input.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use vmcorectl::monitor::{self, Monitor, Target, WaitLimits};

use crate::limits::{SMALL, within};

/// A socket that QEMU might have.
struct Socket {
    folder: TempDir,
    listener: UnixListener,
}

/// Everything that a monitor is asked, until it has no more to say.
pub(crate) fn run(input: &[u8]) {
    static SOCKET: OnceLock<Socket> = OnceLock::new();
    let socket = SOCKET.get_or_init(|| {
        let folder = TempDir::new().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("qmp")).expect("a socket");
        Socket { folder, listener }
    });
    within(SMALL, || {
        thread::scope(|scope| {
            let server = scope.spawn(|| answer(&socket.listener, input));
            let limits =
                WaitLimits { timeout: Duration::from_secs(5), until: None, interrupt: None };
            let path = socket.folder.path().join("qmp");
            match monitor::connect(&Target::socket(&path), &limits) {
                Ok(mut client) => ask(&mut *client, &limits),
                Err(error) => drop(error.to_string()),
            }
            server.join().expect("the server");
        });
    });
}

/// Sends all of the input at once, and takes what the client sends until it leaves.
fn answer(listener: &UnixListener, input: &[u8]) {
    let Ok((mut client, _)) = listener.accept() else { return };
    let sender = client.try_clone().expect("a descriptor");
    thread::scope(|scope| {
        scope.spawn(|| send(sender, input));
        let mut ignored = [0; 4096];
        while client.read(&mut ignored).is_ok_and(|read| read > 0) {}
    });
}

fn send(mut to: UnixStream, input: &[u8]) {
    let _ = to.write_all(input);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn ask(client: &mut dyn Monitor, limits: &WaitLimits<'_>) {
    let _ = client.run_state(limits);
    let _ = client.guest_name(limits);
    let _ = client.guest_uuid(limits);
    let _ = client.memory_size(limits);
    let _ = client.machine(limits);
    let _ = client.architecture(limits);
    let _ = client.uses_kvm(limits);
    let _ = client.dump_formats(limits);
    let _ = client.migration_blockers(limits);
    let _ = client.memory_encrypted(limits);
    for cpu in client.cpus(limits).ok().flatten().unwrap_or_default().iter().take(4) {
        let _ = client.crash_information(cpu, limits);
    }
    let _ = client.dump_status(limits);
    let _ = client.stop(limits);
    for _ in 0..16 {
        match client.wait("events", limits, &[]) {
            Ok(_) => while client.take_event().is_some() {},
            Err(error) => {
                let _ = error.to_string();
                break;
            }
        }
    }
    let _ = client.take_guest_events();
}
