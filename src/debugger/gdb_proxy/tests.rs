use std::io::{Read, Write};
use std::thread;

use vmcore_formats::gdb_remote::{Decoder, Unit, encode};

use super::*;

/// A stub that answers by a table, and keeps the bodies that came and the stray bytes.
fn scripted(mut socket: UnixStream) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
        let mut byte = [0];
        while let Ok(1) = socket.read(&mut byte) {
            let answer: &[u8] = match decoder.push(byte[0]).unwrap() {
                Some(Unit::Interrupt) => {
                    seen.push("interrupt".to_owned());
                    b"T02thread:p01.01;"
                }
                Some(Unit::Packet(body)) => {
                    let body = String::from_utf8(body).unwrap();
                    seen.push(body.clone());
                    match body.get(..1) {
                        // It runs until it is stopped.
                        Some("c") => continue,
                        Some("q") => return seen,
                        Some("?" | "s") => b"T05thread:p01.01;",
                        _ => b"OK",
                    }
                }
                _ => continue,
            };
            socket.write_all(&encode(answer)).unwrap();
        }
        seen
    })
}

struct Session {
    proxy: GdbProxy,
    gdb: UnixStream,
    stub: JoinHandle<Vec<String>>,
    folder: tempfile::TempDir,
}

impl Session {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gdb");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let proxy = GdbProxy::start(UnixListener::bind(&path).unwrap(), ours).unwrap();
        let gdb = UnixStream::connect(&path).unwrap();
        Self { proxy, gdb, stub: scripted(theirs), folder }
    }

    fn send(&mut self, body: &str) {
        self.gdb.write_all(&encode(body.as_bytes())).unwrap();
    }

    /// The next packet's body, which is acknowledged. `None` if the proxy closed the connection.
    fn answer(&mut self) -> Option<String> {
        let mut decoder = Decoder::default();
        let mut byte = [0];
        while let Ok(1) = self.gdb.read(&mut byte) {
            if let Some(Unit::Packet(body)) = decoder.push(byte[0]).unwrap() {
                self.gdb.write_all(b"+").unwrap();
                return Some(String::from_utf8(body).unwrap());
            }
        }
        None
    }

    fn ask(&mut self, body: &str) -> Option<String> {
        self.send(body);
        self.answer()
    }

    /// What came of the guest, and what QEMU got.
    fn end(self) -> (Outcome, Vec<String>) {
        let outcome = self.proxy.end();
        (outcome, self.stub.join().unwrap())
    }
}

#[test]
fn a_gdb_that_detaches_is_answered_and_qemu_is_not_asked() {
    let mut session = Session::new();
    assert_eq!(session.ask("?").as_deref(), Some("T05thread:p01.01;"));
    assert_eq!(session.ask("D;1").as_deref(), Some("OK"));
    assert_eq!(session.end(), (Outcome::default(), vec!["?".to_owned()]));
}

#[test]
fn a_gdb_that_kills_does_not_reach_qemu() {
    let mut session = Session::new();
    assert_eq!(session.ask("vKill;1").as_deref(), Some("OK"));
    assert_eq!(session.ask("vRun;a").as_deref(), Some(""));
    assert_eq!(session.ask("k"), None);
    let expected = Outcome { kill_asked: true, ..Outcome::default() };
    assert_eq!(session.end(), (expected, vec![]));
}

#[test]
fn breakpoints_that_are_left_are_removed() {
    let mut session = Session::new();
    for body in ["Z0,a,1", "Z1,b,4;X1,0", "z0,a,1", "s"] {
        session.ask(body).unwrap();
    }
    let (outcome, seen) = session.end();
    assert_eq!(outcome, Outcome { ran: true, ..Outcome::default() });
    assert_eq!(seen, ["Z0,a,1", "Z1,b,4;X1,0", "z0,a,1", "s", "z1,b,4"]);
}

#[test]
fn a_guest_that_was_let_run_is_sent_nothing_when_gdb_goes() {
    let mut session = Session::new();
    session.ask("?").unwrap();
    session.send("c");
    // An answer of the proxy itself comes after all that was asked before.
    assert_eq!(session.ask("D").as_deref(), Some("OK"));
    let (outcome, seen) = session.end();
    assert_eq!((outcome.ran, outcome.breakpoints_left), (true, None));
    assert_eq!(seen, ["?", "c"]);
}

#[test]
fn a_guest_that_runs_with_breakpoints_is_stopped_before_they_go() {
    let mut session = Session::new();
    session.ask("Z0,a,1").unwrap();
    session.send("c");
    assert_eq!(session.ask("D").as_deref(), Some("OK"));
    let (_, seen) = session.end();
    assert_eq!(seen, ["Z0,a,1", "c", "interrupt", "z0,a,1"]);
}

#[test]
fn another_gdb_may_follow() {
    let mut session = Session::new();
    assert_eq!(session.ask("k"), None);
    session.gdb = UnixStream::connect(session.folder.path().join("gdb")).unwrap();
    assert_eq!(session.ask("?").as_deref(), Some("T05thread:p01.01;"));
    session.send("c");
    session.gdb.write_all(&[3]).unwrap();
    assert_eq!(session.answer().as_deref(), Some("T02thread:p01.01;"));
    let (_, seen) = session.end();
    assert_eq!(seen, ["?", "c", "interrupt"]);
}

#[test]
fn a_qemu_that_ends_ends_the_session() {
    let mut session = Session::new();
    session.ask("Z0,a,1").unwrap();
    assert_eq!(session.ask("qEnd"), None);
    let (outcome, seen) = session.end();
    assert!(outcome.breakpoints_left.is_some());
    assert_eq!(seen, ["Z0,a,1", "qEnd"]);
}
