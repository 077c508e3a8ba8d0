//! The client against a peer that a thread plays, byte by byte.

use std::time::Duration;

use super::*;
use crate::monitor::Monitor;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

const GREETING: &str = r#"{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":9},"package":""},"capabilities":[]}}"#;

const LIMITS: WaitLimits<'static> =
    WaitLimits { timeout: Duration::from_secs(5), until: None, interrupt: None };

type Peer = BufReader<UnixStream>;

/// Plays a monitor at a path of its own: greeting, capabilities, then `script`.
fn peer(
    script: impl FnOnce(Peer) + Send + 'static,
) -> (tempfile::TempDir, PathBuf, JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let mut peer = BufReader::new(listener.accept().unwrap().0);
        say(&mut peer, GREETING);
        assert!(heard(&mut peer).contains("qmp_capabilities"));
        say(&mut peer, r#"{"return":{},"id":1}"#);
        script(peer);
    });
    (folder, path, thread)
}

fn say(peer: &mut Peer, line: &str) {
    peer.get_mut().write_all(line.as_bytes()).unwrap();
    peer.get_mut().write_all(b"\r\n").unwrap();
}

fn heard(peer: &mut Peer) -> String {
    let mut line = String::new();
    peer.read_line(&mut line).unwrap();
    line
}

#[test]
fn events_before_a_reply_are_kept_and_strange_replies_dropped() {
    let (_folder, path, thread) = peer(|mut peer| {
        heard(&mut peer);
        say(&mut peer, r#"{"event":"STOP","timestamp":{"seconds":1,"microseconds":0}}"#);
        say(&mut peer, r#"{"event":"RTC_CHANGE","data":{"offset":1}}"#);
        say(&mut peer, r#"{"return":"of another time","id":99}"#);
        say(&mut peer, r#"{"unknown":true,"id":2,"return":{"status":"running","running":true}}"#);
    });
    let mut client = Client::connect(&path, &LIMITS).unwrap();
    assert_eq!(client.version(), Version { major: 9, minor: 2, micro: 0 });
    let state = client.run_state(&LIMITS).unwrap();
    assert!(state.running && !state.is_panicked());
    assert_eq!(client.take_event().unwrap().name, "STOP");
    assert_eq!(client.take_event(), None);
    thread.join().unwrap();
}

#[test]
fn a_reply_may_come_byte_by_byte() {
    let (_folder, path, thread) = peer(|mut peer| {
        heard(&mut peer);
        for byte in b"{\"return\":{\"status\":\"paused\",\"running\":false},\"id\":2}\r\n" {
            peer.get_mut().write_all(&[*byte]).unwrap();
            peer.get_mut().flush().unwrap();
        }
    });
    let mut client = Client::connect(&path, &LIMITS).unwrap();
    assert_eq!(client.run_state(&LIMITS).unwrap().status, "paused");
    thread.join().unwrap();
}

#[test]
fn a_connection_that_ends_at_any_byte_is_an_error_in_time() {
    const REPLY: &[u8] = b"{\"return\":{\"status\":\"paused\",\"running\":false},\"id\":2}";
    for cut in 0..REPLY.len() {
        let (_folder, path, thread) = peer(move |mut peer| {
            heard(&mut peer);
            peer.get_mut().write_all(&REPLY[..cut]).unwrap();
        });
        let mut client = Client::connect(&path, &LIMITS).unwrap();
        let error = client.run_state(&LIMITS).unwrap_err();
        assert!(matches!(error, MonitorError::Closed { .. }), "cut at {cut}: {error}");
        thread.join().unwrap();
    }
}

#[test]
fn junk_and_endless_lines_are_refused() {
    let (_folder, path, thread) = peer(|mut peer| {
        heard(&mut peer);
        say(&mut peer, "(qemu) info status");
    });
    let mut client = Client::connect(&path, &LIMITS).unwrap();
    let error = client.run_state(&LIMITS).unwrap_err();
    assert!(matches!(&error, MonitorError::Junk { start } if start == "(qemu) info status"));
    assert!(error.hint().unwrap().contains("human monitor"));
    thread.join().unwrap();

    let (_folder, path, thread) = peer(|mut peer| {
        heard(&mut peer);
        let bytes = vec![b' '; 64 * 1024];
        while peer.get_mut().write_all(&bytes).is_ok() {}
    });
    let mut client = Client::connect(&path, &LIMITS).unwrap();
    let error = client.run_state(&LIMITS).unwrap_err();
    assert!(matches!(error, MonitorError::TooLong { limit: MAX_LINE }), "{error}");
    drop(client);
    thread.join().unwrap();
}

#[test]
fn a_refusal_keeps_its_class_and_text() {
    let (_folder, path, thread) = peer(|mut peer| {
        heard(&mut peer);
        say(
            &mut peer,
            r#"{"error":{"class":"GenericError","desc":"Resetting the Virtual Machine is required"},"id":2}"#,
        );
    });
    let mut client = Client::connect(&path, &LIMITS).unwrap();
    let error = client.execute("cont", json!({}), &LIMITS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "QEMU refused cont: GenericError: Resetting the Virtual Machine is required"
    );
    thread.join().unwrap();
}

#[test]
fn a_monitor_that_stays_silent_is_said_to_be_held_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let _listener = UnixListener::bind(&path).unwrap();
    let limits = WaitLimits { timeout: Duration::from_millis(100), ..LIMITS };
    let error = Client::connect(&path, &limits).unwrap_err();
    assert!(matches!(error, MonitorError::Silent { .. }));
    assert!(error.hint().unwrap().contains("-qmp"));
}

#[test]
fn a_command_without_an_answer_ends_in_time_and_its_late_reply_is_dropped() {
    let (_folder, path, thread) = peer(|mut peer| {
        heard(&mut peer);
        // Answers only when the next command came.
        heard(&mut peer);
        say(&mut peer, r#"{"return":{"status":"old","running":false},"id":2}"#);
        say(&mut peer, r#"{"return":{"status":"new","running":false},"id":3}"#);
    });
    let mut client = Client::connect(&path, &LIMITS).unwrap();
    let short = WaitLimits { timeout: Duration::from_millis(50), ..LIMITS };
    let error = client.run_state(&short).unwrap_err();
    assert!(matches!(error, MonitorError::TimedOut { .. }));
    assert_eq!(client.run_state(&LIMITS).unwrap().status, "new");
    thread.join().unwrap();
}

#[test]
fn a_flood_of_events_is_bounded() {
    let (_folder, path, thread) = peer(|mut peer| {
        heard(&mut peer);
        for _ in 0..MAX_EVENTS + 100 {
            say(&mut peer, r#"{"event":"GUEST_PANICKED","data":{"action":"run"}}"#);
        }
        say(&mut peer, r#"{"return":{"status":"running","running":true},"id":2}"#);
    });
    let mut client = Client::connect(&path, &LIMITS).unwrap();
    client.run_state(&LIMITS).unwrap();
    assert_eq!(client.events.len(), MAX_EVENTS);
    thread.join().unwrap();
}

#[test]
fn events_without_end_do_not_outlast_a_deadline() {
    for event in [
        r#"{"event":"RTC_CHANGE","data":{"offset":1}}"#,
        r#"{"event":"GUEST_PANICKED","data":{"action":"run"}}"#,
        // A line that never ends, byte by byte.
        "",
    ] {
        let (_folder, path, thread) = peer(move |mut peer| {
            let line = if event.is_empty() { " ".to_owned() } else { format!("{event}\n") };
            let flood = if event.is_empty() { line } else { line.repeat(100) };
            while peer.get_mut().write_all(flood.as_bytes()).is_ok() {
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let mut client = Client::connect(&path, &LIMITS).unwrap();
        let short = WaitLimits { timeout: Duration::from_millis(200), ..LIMITS };
        let started = Instant::now();
        let error = client.run_state(&short).unwrap_err();
        assert!(matches!(error, MonitorError::TimedOut { .. }), "{error}");
        let deadline = Instant::now() + short.timeout;
        while !matches!(client.wait("a test", &short, &[]).unwrap(), WaitResult::Nothing) {
            if Instant::now() > deadline {
                break;
            }
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        drop(client);
        thread.join().unwrap();
    }
}

#[test]
fn a_reply_that_comes_while_another_is_awaited_is_kept_for_who_waits() {
    let (_folder, path, thread) = peer(|mut peer| {
        heard(&mut peer);
        heard(&mut peer);
        say(&mut peer, r#"{"return":{},"id":2}"#);
        say(&mut peer, r#"{"return":{"status":"paused","running":false},"id":3}"#);
    });
    let mut client = Client::connect(&path, &LIMITS).unwrap();
    let id = client.begin("dump-guest-memory", &json!({}), &LIMITS).unwrap();
    assert_eq!(client.run_state(&LIMITS).unwrap().status, "paused");
    let result = client.wait("a test", &LIMITS, &[]).unwrap();
    assert!(matches!(result, WaitResult::Reply(found, Ok(_)) if found == id), "{result:?}");
    thread.join().unwrap();
}
