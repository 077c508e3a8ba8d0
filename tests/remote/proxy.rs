//! A proxy before a server: it delays, cuts and changes what passes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::seaweedfs::{KEY, SECRET};

/// What it does to what passes.
pub(crate) struct Faults {
    /// For how long each piece waits, in milliseconds.
    pub(crate) delay: AtomicU64,
    /// The byte that is changed, of all that clients have sent.
    pub(crate) changes_byte_at: AtomicU64,
    /// After how many bytes of clients a connection is cut, and how many of them are.
    pub(crate) cuts_after: AtomicU64,
    pub(crate) cuts: AtomicUsize,
    /// Whether it is cut after so many bytes of the server.
    pub(crate) cuts_answers: AtomicBool,
    sent: AtomicU64,
}

pub(crate) struct Proxy {
    pub(crate) address: String,
    pub(crate) faults: Arc<Faults>,
}

impl Proxy {
    /// Starts one before the server at this address. Its threads end with the process.
    pub(crate) fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let faults = Arc::new(Faults {
            delay: AtomicU64::new(0),
            changes_byte_at: AtomicU64::new(u64::MAX),
            cuts_after: AtomicU64::new(u64::MAX),
            cuts: AtomicUsize::new(0),
            cuts_answers: AtomicBool::new(false),
            sent: AtomicU64::new(0),
        });
        let shared = Arc::clone(&faults);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else {
                    continue;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let copies = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || up.pass(client, server, true));
                thread::spawn(move || down.pass(copies.1, copies.0, false));
            }
        });
        Self { address, faults }
    }

    /// What a client of the server behind it has in its environment.
    pub(crate) fn variables(&self) -> [(&str, &str); 3] {
        [
            ("AWS_ENDPOINT_URL", &self.address),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ]
    }
}

impl Faults {
    /// Passes one direction of a connection on.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_up: bool) {
        let mut buffer = vec![0; 64 << 10];
        let mut passed = 0;
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            thread::sleep(Duration::from_millis(self.delay.load(Ordering::Relaxed)));
            let piece = &mut buffer[..count];
            passed += count as u64;
            if is_up {
                let start = self.sent.fetch_add(count as u64, Ordering::Relaxed);
                let at = self.changes_byte_at.load(Ordering::Relaxed).checked_sub(start);
                if let Some(byte) = at.and_then(|at| piece.get_mut(usize::try_from(at).ok()?)) {
                    *byte ^= 1;
                }
            }
            let one_less = |left: usize| left.checked_sub(1);
            if is_up != self.cuts_answers.load(Ordering::Relaxed)
                && passed >= self.cuts_after.load(Ordering::Relaxed)
                && self.cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
            {
                break;
            }
            if to.write_all(piece).is_err() {
                break;
            }
        }
        let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
    }
}
