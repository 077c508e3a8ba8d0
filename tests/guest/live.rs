//! A held guest under a debugger: it stays as it is, however the debugger ends.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::domain::{Domain, GUEST, NAME};
use crate::machine::Machine;
use crate::tool::{self, Ran, finish, start};

const PANICKED: &str = "guest-panicked";
/// The process under test is gdb's grandparent.
const KILL_US: &str = "shell kill -KILL $(ps -o ppid= -p $(ps -o ppid= -p $PPID))";

fn gdb<'a>(machine: &'a Machine, commands: &[&'a str]) -> Vec<String> {
    let monitor = machine.monitor();
    let words = ["debug", "--live", &monitor, "--with", "gdb", "--", "-nx", "-batch"];
    let mut words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
    let options = ["set confirm off", "set pagination off"];
    for command in options.iter().chain(commands) {
        words.extend(["-ex".to_owned(), (*command).to_owned()]);
    }
    words
}

/// A directory for what the program leaves while it runs: the path of a socket has to be short.
fn temporary() -> TempDir {
    TempDir::with_prefix("live").expect("a directory")
}

fn run_gdb(machine: &Machine, commands: &[&str]) -> Ran {
    let temporary = temporary();
    let ran = tool::command(gdb(machine, commands)).env("TMPDIR", temporary.path()).output();
    let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    ran.unwrap().into()
}

/// The program is killed, and gdb lives on for a second.
fn kill_the_program(machine: &Machine) {
    let temporary = temporary();
    let words = gdb(machine, &[KILL_US, "shell sleep 1"]);
    let ran = tool::command(words).env("TMPDIR", temporary.path()).output().unwrap();
    assert_eq!(ran.status.code(), None, "{ran:?}");
    for folder in fs::read_dir(temporary.path()).unwrap() {
        let folder = folder.unwrap().path();
        // One of them was the mount, which is dead.
        let _ = Command::new("umount").arg("-l").arg(&folder).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_held_guest_stays_held_however_its_debugger_ends() {
    let machine = Machine::panicked(&[]);
    let ran = run_gdb(&machine, &["bt", "p init_task.comm", "info threads"]).expect(0);
    assert!(ran.stdout.contains("\"swapper"), "{ran:#?}");
    assert!(ran.stdout.contains("CPU#1"), "{ran:#?}");
    let ran = ran.says("note: the guest is as it was found: guest-panicked");
    assert!(!ran.stderr.contains("warning: the guest"), "{ran:#?}");
    assert_eq!(machine.state(), PANICKED);

    for (commands, code) in [
        (&["detach"][..], 0),
        (&["kill"], 0),
        (&["disconnect"], 0),
        (&["quit 3"], 3),
        (&["hbreak panic", "break schedule", "detach"], 0),
        (&["shell kill -KILL $PPID"], 128 + 9),
    ] {
        run_gdb(&machine, commands).expect(code).says("the guest is as it was found");
        assert_eq!(machine.state(), PANICKED, "{commands:?}");
    }
    // Nothing of ours is left to answer; QEMU notes closed connections, and a next one is served.
    kill_the_program(&machine);
    assert_eq!(machine.state(), PANICKED);

    through_drgn(&[&machine.monitor()], &machine.space("live.py"), PANICKED);
    assert_eq!(machine.state(), PANICKED);

    a_guest_that_is_let_run_runs(&machine);
}

/// Tasks, and the stack of the vCPU that panicked, through our own reads.
fn through_drgn(guest: &[&str], script: &Path, state: &str) {
    const SCRIPT: &str = "from drgn.helpers.linux import for_each_task\n\
        print(prog['init_task'].comm.string_().decode())\n\
        print(len(list(for_each_task(prog))) > 10)\n\
        print(any(frame.name == 'panic' for frame in prog.crashed_thread().stack_trace()))\n";
    fs::write(script, SCRIPT).unwrap();
    let drgn = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/drgn-venv/bin");
    assert!(drgn.join("drgn").exists(), "tests/run installs drgn in target/drgn-venv");
    let path = format!("{}:{}", std::env::var("PATH").unwrap(), drgn.display());
    let words = [&["debug", "--live"], guest, &["--with", "drgn", "--", script.to_str().unwrap()]];
    let ran: Ran = tool::command(words.concat()).env("PATH", path).output().unwrap().into();
    let ran = ran.expect(0).says(&format!("the guest is as it was found: {state}"));
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("swapper"), "{ran:#?}");
    assert_eq!(lines[1..], ["True", "True"]);
}

/// libvirt reads the memory for us, and the domain is not tainted. gdb would need more.
#[test]
fn a_domain_of_libvirt_is_looked_at_by_drgn_and_crash() {
    let mut domain = Domain::panicked("sysrq");
    let uri = domain.uri();
    let guest = [GUEST, "--connect", &uri];
    let before = domain.state();
    through_drgn(&guest, &domain.space("live.py"), PANICKED);
    let script = domain.space("live.crash");
    fs::write(&script, "sys\nbt\nquit\n").unwrap();
    let crash = ["--with", "crash", "--", "-s", "-i", script.to_str().unwrap()];
    let ran = tool::run([&["debug", "--live"], &guest[..], &crash].concat()).expect(0);
    assert!(ran.stdout.contains("sysrq triggered crash"), "{ran:#?}");
    assert!(ran.stdout.contains("] panic at "), "{ran:#?}");
    let ran = tool::run([&["debug", "--live"], &guest[..], &["--with", "gdb"]].concat());
    ran.expect(2).says("libvirt marks a domain as tainted by that");
    assert_eq!(domain.state(), before);
    assert!(!domain.virsh(&["dominfo", NAME]).contains("custom monitor control"));
    domain.libvirt_answers();
}

/// Debian's gdb has processors of other architectures in a program of its own.
#[test]
fn a_guest_of_arm64_is_looked_at_in_the_full_run() {
    if std::env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest-6.12-arm64");
    assert!(folder.exists(), "there is no {}: tests/run --full builds it", folder.display());
    let machine = Machine::boot(&["--guest", folder.to_str().unwrap()]);
    // No panic device holds it.
    machine.await_console("end Kernel panic", 1);
    machine.execute("stop");
    let ran = run_gdb(&machine, &["bt 1", "p init_task.comm", "info threads"]).expect(0);
    assert!(ran.stdout.contains("\"swapper"), "{ran:#?}");
    assert!(ran.stdout.contains("CPU#1"), "{ran:#?}");
    assert!(!ran.stderr.contains("unknown architecture"), "{ran:#?}");
    ran.says("note: the guest is as it was found: paused");
    through_drgn(&[&machine.monitor()], &machine.space("live.py"), "paused");
    assert_eq!(machine.state(), "paused");
}

/// What a person typed is done, and gdb's end changes nothing of it.
fn a_guest_that_is_let_run_runs(machine: &Machine) {
    let program = start(gdb(machine, &["continue"]));
    machine.await_state("running");
    signal_gdb(&program, "INT");
    finish(program).expect(0).says("was guest-panicked, and is paused now: gdb let it run");
    assert_eq!(machine.state(), "paused");

    let program = start(gdb(machine, &["continue"]));
    machine.await_state("running");
    signal_gdb(&program, "KILL");
    finish(program).expect(128 + 9).says("was paused, and is running now: gdb let it run");
    assert_eq!(machine.state(), "running");
    let monitor = machine.monitor();
    tool::run(["debug", "--live", &monitor]).expect(1).says("the guest is not held (running)");
}

/// Signals gdb: the child of our child.
fn signal_gdb(program: &Child, signal: &str) {
    let child = |parent: u32| -> u32 {
        let threads = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
        let lists = threads
            .filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).ok());
        let all: String = lists.collect();
        all.split_whitespace().next().expect("a child").parse().unwrap()
    };
    let gdb = child(child(program.id())).to_string();
    let sent = Command::new("kill").args(["-s", signal, &gdb]).status();
    assert!(sent.unwrap().success());
}
