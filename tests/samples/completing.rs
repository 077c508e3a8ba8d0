//! What shells complete: real bash at a terminal, and the answers that each shell's script gets.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::CORE;
use crate::tool::{command, run};
use crate::transcript::project;

/// The words that a shell gets for the last one of these.
fn completed(words: &[&str]) -> Vec<String> {
    let index = words.len().to_string();
    let words = ["--", "vmcorectl"].iter().chain(words);
    let mut asked = command(words);
    asked.env("VMCORECTL_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index);
    let ran = crate::tool::Ran::from(asked.current_dir(project()).output().unwrap()).expect(0);
    assert_eq!(ran.stderr, "");
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn types_symbols_and_members_complete_from_the_core() {
    let print = |words: &[&str]| completed(&[&["print", CORE], words].concat());
    for (words, expected) in [
        (&["task_stru"][..], &["task_struct", "task_struct_cachep"][..]),
        (&["task_struct.pid,comm"], &["task_struct.pid,comm"]),
        (&["init_task.com"], &["init_task.comm", "init_task.compat_robust_list"]),
        (&["task_struct", "init_tas"], &["init_task", "init_task."]),
        (
            &["task_struct", "init_task.mm.pgt"],
            &["init_task.mm.pgtables_bytes", "init_task.mm.pgtables_bytes."],
        ),
        (&["task_struct", "'init_task->mm->map_c"], &["init_task->mm->map_count"]),
        (&["int", "task_struct@init_task.exit_c"], &["task_struct@init_task.exit_code"]),
        (&["module", "modules", "--list", "sourc"], &["source_list", "source_list."]),
        (&["virtio_blk.vdev_"], &["virtio_blk.vdev_mutex", "virtio_blk.vdev_mutex."]),
    ] {
        assert_eq!(print(words), expected, "{words:?}");
    }
    let types = print(&["task"]);
    assert!(types.contains(&"task_struct".to_owned()) && types.len() > 10, "{types:?}");
    assert!(print(&["--list"]).contains(&"--list".to_owned()));
}

#[test]
fn without_a_core_that_can_be_read_nothing_completes_and_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged");
    let core = fs::read(project().join(CORE)).unwrap();
    fs::write(&damaged, &core[..core.len() / 8]).unwrap();
    let socket = folder.path().join("socket");
    let _guest = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let paths = [damaged.as_path(), &socket, Path::new("/none"), Path::new("/dev/zero")];
    for path in paths {
        let path = path.to_str().unwrap();
        assert!(completed(&["print", path, "task_stru"]).is_empty(), "{path}");
    }
    assert!(completed(&["print", "s3://bucket/core", "task_stru"]).is_empty());
    assert!(completed(&["print", "no-such", "task_stru"]).is_empty());
}

#[test]
fn ids_of_stored_crashes_complete() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    let core = project().join(CORE);
    let imported = run(["import", core.to_str().unwrap(), "--store", store]).expect(0).entry();
    let id = imported.file_name().unwrap().to_str().unwrap();
    assert_eq!(completed(&["info", "--store", store, &id[..4]]), [id]);
    assert_eq!(completed(&["rm", "--store", store, &id[..4]]), [id]);
    assert_eq!(completed(&["info", "--store", store, "lat"]), ["latest"]);
    assert!(completed(&["rm", "--store", store, "lat"]).is_empty());
    assert_eq!(
        completed(&["print", "--store", store, id, "task_struct.comm"]),
        ["task_struct.comm"]
    );
}

#[test]
fn bash_completes_at_a_terminal() {
    if Command::new("bash").arg("--version").stdout(Stdio::null()).status().is_err() {
        return println!("bash is missing");
    }
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("core:of@web");
    std::os::unix::fs::symlink(project().join(CORE), &core).unwrap();
    let mut bash = Bash::start(folder.path());
    let core = "vmcorectl print core:of@web";
    // What has members behind it ends without a blank.
    for (typed, expected) in [
        ("vmcorectl pri", "vmcorectl print "),
        ("vmcorectl print core", "vmcorectl print core:of@web "),
        ("vmcorectl print core:of@w", "vmcorectl print core:of@web "),
        (&format!("{core} task_struct.exit_c"), &format!("{core} task_struct.exit_code ")),
        (&format!("{core} task_stru"), &format!("{core} task_struct")),
        (&format!("{core} task_struct init_tas"), &format!("{core} task_struct init_task")),
        (
            &format!("{core} task_struct init_task.mm.map_c"),
            &format!("{core} task_struct init_task.mm.map_count "),
        ),
        (
            &format!("{core} task_struct 'init_task->exit_c"),
            &format!("{core} task_struct 'init_task->exit_code' "),
        ),
        (
            &format!("{core} int task_struct@init_task.exit_c"),
            &format!("{core} int task_struct@init_task.exit_code "),
        ),
        (&format!("{core} --js"), &format!("{core} --json ")),
        ("vmcorectl print none task_stru", "vmcorectl print none task_stru"),
    ] {
        assert_eq!(bash.line_of(&format!("{typed}\t")), expected, "{typed:?}");
    }
}

/// A shell at a terminal.
struct Bash {
    terminal: File,
    shell: Child,
}

impl Bash {
    fn start(folder: &Path) -> Self {
        let script = folder.join("script");
        let mut text = run(["completions", "bash"]).expect(0).stdout;
        text += "bind -x '\"\\C-t\": printf \"LINE<%s>\\n\" \"$READLINE_LINE\"'\n";
        text +=
            "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; PS1=READY; PS2=\n";
        fs::write(&script, text).unwrap();
        let seen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&seen).unwrap();
        unlockpt(&seen).unwrap();
        let own = || ioctl_tiocgptpeer(&seen, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let size = Winsize { ws_row: 50, ws_col: 300, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&seen, size).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_vmcorectl")).parent().unwrap();
        let path = format!("{}:/usr/bin:/bin", program.display());
        let mut command = Command::new("setsid");
        command.args(["bash", "--noprofile", "--rcfile"]).arg(&script).arg("-i");
        command.env_clear().env("PATH", path).env("TERM", "dumb").env("LC_ALL", "C.UTF-8");
        command.env("HOME", folder).env("INPUTRC", "/dev/null").current_dir(folder);
        command.stdin(own()).stdout(own()).stderr(own());
        let shell = command.spawn().unwrap();
        let mut bash = Self { terminal: File::from(seen), shell };
        // Before that, the terminal itself would take the keys that end a line.
        bash.seen_until(|text| text.contains("READY").then_some(()));
        bash
    }

    /// The line that is there after these keys.
    fn line_of(&mut self, keys: &str) -> String {
        // It is shown, and then removed.
        self.terminal.write_all(format!("{keys}\x14\x05\x15").as_bytes()).unwrap();
        self.seen_until(|text| {
            let shown = text.split_once("LINE<")?.1.split_once(">\r\n")?.0;
            Some(shown.to_owned())
        })
    }

    /// Reads what is shown until something is there.
    fn seen_until<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut seen = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&seen);
            if let Some(found) = wanted(&text) {
                return found;
            }
            let mut ready = [PollFd::new(&self.terminal, PollFlags::IN)];
            let limit = Timespec { tv_sec: 120, tv_nsec: 0 };
            assert_eq!(poll(&mut ready, Some(&limit)), Ok(1), "bash shows no more than {text}");
            let mut some = [0; 4096];
            let count = self.terminal.read(&mut some).unwrap_or(0);
            assert!(count > 0, "bash ended: {text}");
            seen.extend(&some[..count]);
        }
    }
}

impl Drop for Bash {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
