//! A monitor that is busy, that goes away, and that comes back.

use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use crate::core_stream::MIB;
use crate::lacking::lacking;
use crate::scripted_qemu::{DumpPlan, ENDED, PANICKED, Script};
use crate::setting::Setting;
use crate::tool::{self, Ran};

#[test]
fn a_guest_is_captured_and_resumed() {
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let ran = setting.capture(&["--resume"]).expect(0);
    assert_eq!(ran.entry(), setting.listing().entries[0]);
    let metadata = setting.whole_entry(&stream);
    assert!(metadata.held_seconds.is_some_and(|held| held > 0.0));
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
}

#[test]
fn a_qemu_in_another_namespace_of_processes_is_captured() {
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let program = tool::command(setting.arguments(&["--resume"]));
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork"]).arg(program.get_program()).args(program.get_args());
    let ran = Ran::from(inside.output().expect("unshare starts"));
    if ran.stderr.starts_with("unshare: ") {
        return lacking("the right to make namespaces");
    }
    assert_eq!(ran.expect(0).complaints(), "");
    setting.whole_entry(&stream);
}

#[test]
fn a_socket_without_listener_is_an_error() {
    let setting = Setting::new(Script::default());
    setting.qemu.kill();
    setting
        .capture(&["--resume"])
        .expect(1)
        .says("cannot connect to the monitor")
        .says("Connection refused");
    setting.nothing_is_stored();
}

#[test]
fn a_busy_monitor_is_given_up_with_advice() {
    let setting = Setting::new(Script { greets: false, ..Script::default() });
    setting
        .capture(&["--resume", "--timeout", "1s"])
        .expect(1)
        .says("took the connection and stayed silent")
        .says("-qmp unix:PATH,server=on,wait=off");
    setting.nothing_is_stored();
    assert!(setting.qemu.actions().is_empty());
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_monitor_of_another_client_is_given_up_with_advice() {
    let setting = Setting::new(Script::default());
    let _other = UnixStream::connect(setting.qemu.socket()).unwrap();
    setting.qemu.await_client();
    setting
        .capture(&["--timeout", "1s"])
        .expect(1)
        .says("stayed silent")
        .says("another client (libvirt, a script) holds this monitor");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_monitor_with_a_full_queue_is_given_up_with_advice() {
    let folder = tempfile::Builder::new().prefix("qmp").tempdir_in("/tmp").unwrap();
    let path = folder.path().join("m");
    let address = SocketAddrUnix::new(&path).unwrap();
    let new = |flags| {
        let flags = SocketFlags::CLOEXEC | flags;
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    };
    let listener = new(SocketFlags::empty());
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = new(SocketFlags::NONBLOCK);
        if connect(&client, &address).is_err() {
            break;
        }
        waiting.push(client);
    }
    tool::run(["capture", path.to_str().unwrap(), "--timeout", "1s", "--store", "/nonexistent/s"])
        .expect(1)
        .says("stayed silent")
        .says("holds this monitor");
}

#[test]
fn a_human_monitor_is_distinguished() {
    let folder = tempfile::Builder::new().prefix("qmp").tempdir_in("/tmp").unwrap();
    let path = folder.path().join("m");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let human = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let greeting = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ";
        std::io::Write::write_all(&mut client, greeting).unwrap();
        // Stays until the program goes.
        let _ = std::io::Read::read(&mut client, &mut [0; 64]);
    });
    tool::run(["capture", path.to_str().unwrap(), "--store", "/nonexistent/s"])
        .expect(1)
        .says("is this a QMP socket?");
    human.join().unwrap();
}

#[test]
fn a_killed_qemu_leaves_the_part_that_came() {
    let script = Script { dump: DumpPlan::Killed(4 * MIB + 4096), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--resume"]).expect(3).says("QEMU ended during the dump").says("is kept in");
    let metadata = setting.incomplete_entry(&stream);
    let core = metadata.core.unwrap();
    assert_eq!(core.bytes_read, 4 * MIB as u64 + 4096);
    assert_eq!(core.bytes_expected, Some(stream.bytes.len() as u64));
    assert_eq!(metadata.release, None);
    assert_eq!(setting.qemu.run_state(), ENDED);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
}

#[test]
fn a_lost_connection_is_made_again_and_the_dump_goes_on() {
    let script = Script { dump: DumpPlan::ClientLost(2 * MIB), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--resume"]).expect(0).says("the monitor was lost during the dump");
    let metadata = setting.whole_entry(&stream);
    assert_eq!(metadata.warnings.len(), 1, "{metadata:#?}");
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
}

#[test]
fn a_whole_stream_of_a_qemu_that_went_away_is_kept() {
    let script = Script { dump: DumpPlan::MonitorLost(2 * MIB), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--resume", "--timeout", "2s"]).expect(3).says("is kept in");
    let metadata = setting.incomplete_entry(&stream);
    assert_eq!(metadata.core.unwrap().bytes_read, stream.bytes.len() as u64);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
}

#[test]
fn a_whole_stream_of_a_qemu_that_fell_silent_is_kept_as_unconfirmed() {
    let script = Script { dump: DumpPlan::MonitorSilent(2 * MIB), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting
        .capture(&["--resume", "--timeout", "1s"])
        .expect(5)
        .says("the stream ended as it should, but QEMU did not confirm the dump")
        .says("is kept in");
    let metadata = setting.incomplete_entry(&stream);
    assert_eq!(metadata.core.unwrap().bytes_read, stream.bytes.len() as u64);
    assert!(metadata.failure.unwrap().message.contains("did not confirm"));
    assert_eq!(setting.qemu.run_state(), PANICKED);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
}
