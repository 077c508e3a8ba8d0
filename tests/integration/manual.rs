//! What is installed beside the program: manual pages and completions, by the program itself.

use std::collections::BTreeSet;
use std::fs;

use crate::tool::{Ran, command, run};

/// The commands that `--help` lists.
fn commands() -> BTreeSet<String> {
    let help = run(["--help"]).expect(0).stdout;
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    names.filter(|name| name != "help").collect()
}

#[test]
fn each_command_has_a_page_that_is_printed_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(run(["man", "--output", path]).expect(0).stdout, "");
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let commands = commands();
    assert!(commands.len() > 15 && commands.contains("capture"), "{commands:?}");
    for command in &commands {
        let printed = run(["man", command]).expect(0).stdout;
        assert_eq!(printed, page(&format!("vmcorectl-{command}.1")));
        assert!(printed.contains(".TH") && printed.contains(".SH OPTIONS"), "{printed}");
    }
    assert_eq!(run(["man"]).expect(0).stdout, page("vmcorectl.1"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), commands.len() + 1);
    assert!(page("vmcorectl-capture.1").contains("the dump failed, and the guest was released"));
    run(["man", "no-such"]).expect(2).says("there is no command");
    run(["man", "--output", "/none"]).expect(1).says("cannot write /none/vmcorectl-");
}

#[test]
fn each_shell_has_a_script_that_asks_for_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = run(["completions", shell]).expect(0).stdout;
        assert!(text.contains("VMCORECTL_COMPLETE") && text.contains(shell), "{shell}: {text}");
        let mut asked = command(["--", "vmcorectl", ""]);
        asked.env("VMCORECTL_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", "1");
        let offered = Ran::from(asked.output().unwrap()).expect(0).stdout;
        for command in &commands() {
            assert!(offered.contains(command.as_str()), "{shell} has no {command}");
        }
    }
    run(["completions", "csh"]).expect(2);
}
