use crate::triage::crash::families::Families;
use crate::triage::crash::{BootCounts, Crash, of};
use crate::triage::log::console;

fn crash(log: &str) -> Option<Crash> {
    of(&console::records(log.as_bytes()), Families::built_in())
}

fn title(log: &str) -> Option<String> {
    crash(log).map(|crash| crash.title)
}

const BOOT: &str = "[    0.000000] Linux version 6.6.0 (a@b) #1 SMP\n[    0.000000] Command line: ro\n[    2.500000] Run /sbin/init as init process\n";

/// A kernel that crashes in a function.
fn crashing(function: &str) -> String {
    format!(
        "[   90.000000] BUG: unable to handle page fault for address: ffff888000000000\n[   90.000001] Oops: 0000 [#1] SMP\n[   90.000002] CPU: 0 PID: 9 Comm: x Not tainted 6.6.0 #1\n[   90.000003] RIP: 0010:{function}+0x1/0x2\n[   90.000004] Call Trace:\n[   90.000005]  {function}+0x1/0x2\n[   90.000006]  vfs_read+0x1/0x2\n[   90.000007] Kernel panic - not syncing: Fatal exception\n"
    )
}

#[test]
fn what_precedes_the_first_boot_is_no_earlier_one() {
    for before in [
        "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd034]\n",
        "BdsDxe: loading Boot0002 \"UEFI Misc Device\"\nBdsDxe: starting Boot0002\n",
        "GNU GRUB  version 2.06\n\nLoading Linux 6.6.0 ...\nLoading initial ramdisk ...\n",
        "U-Boot 2023.01 (Jan 01 2023)\nDRAM:  1 GiB\n=> bootm\nStarting kernel ...\n\n",
        "SeaBIOS (version 1.16.2)\niPXE (https://ipxe.org)\nBooting from Hard Disk...\n",
        "EFI stub: Booting Linux Kernel...\nEFI stub: Exiting boot services...\n",
        "[    0.000000] microcode: updated early: 0xb4 -> 0xc6, date = 2020-07-16\n",
        "-- Logs begin at Mon 2025-03-03 10:00:00 UTC. --\n",
        "user@host:~$ sudo dmesg\n",
        "Hello,\n\nsince 6.6 my laptop does not wake up. The whole log:\n\n",
        "I see this every day:\n[  120.000000] usb 1-1: reset high-speed device\nThe log:\n",
    ] {
        assert_eq!(title(&format!("{before}{BOOT}login: ")), None, "{before}");
    }
}

#[test]
fn a_reboot_on_purpose_is_no_crash() {
    for end in [
        "[  300.000000] reboot: Restarting system\n",
        "[  OK  ] Reached target System Reboot.\n[  300.000000] watchdog: stopping\n",
        "[  300.000000] systemd-shutdown[1]: Rebooting.\n",
        "The system is going down NOW!\nSent SIGTERM to all processes\n",
        "[  300.000000] kexec_core: Starting new kernel\n",
    ] {
        assert_eq!(title(&format!("{BOOT}{end}SeaBIOS (version 1.16.2)\n{BOOT}")), None, "{end}");
    }
}

#[test]
fn a_journal_does_not_have_the_last_lines_of_a_boot() {
    for prefix in ["Nov 14 10:11:12 box kernel: ", "[    1.000000] box kernel: "] {
        let lines = BOOT.lines().map(|line| format!("{prefix}{}\n", line.get(15..).unwrap()));
        let journal: String = lines.collect::<String>().repeat(100);
        assert_eq!(title(&format!("{journal}{journal}")), None);
    }
    let object = "{\"_TRANSPORT\":\"kernel\",\"MESSAGE\":\"Linux version 6.6.0 (a@b) #1 SMP\"}\n";
    let other = "{\"_TRANSPORT\":\"kernel\",\"MESSAGE\":\"usb 1-1: new device\"}\n".repeat(300);
    assert_eq!(title(&format!("{object}{other}{object}")), None);
}

#[test]
fn a_console_shows_a_reboot_without_a_word() {
    let rebooted = Some("unexpected kernel reboot".to_owned());
    let firmware = "SeaBIOS (version 1.16.2)\nBooting from Hard Disk...\n";
    let again = BOOT.replace("2.500000", "2.500007");
    assert_eq!(title(&format!("{BOOT}[  300.000000] a\n{firmware}{again}")), rebooted);
    assert_eq!(title(&format!("[  300.000000] a\n{firmware}{BOOT}")), rebooted);
}

#[test]
fn an_early_consoles_lines_that_are_printed_again_are_no_boot() {
    let early: String = (1..300).map(|at| format!("[    0.{at:06}] pci {at}\n")).collect();
    let first = "[    0.000000] Linux version 6.6.0 (a@b) #1 SMP\n";
    assert_eq!(title(&format!("{first}{early}{first}{early}[    1.000000] b\n")), None);
}

#[test]
fn of_an_appended_console_the_newest_crash_counts() {
    let log = format!("{BOOT}{}{BOOT}{}{BOOT}", crashing("first_fn"), crashing("second_fn"));
    let crash = crash(&log).unwrap();
    assert_eq!(crash.frame.as_deref(), Some("second_fn"));
    assert_eq!(crash.evidence.boots, Some(BootCounts { count: 3, crashed: 2, explained: 2 }));
    assert!(crash.others[0].title.ends_with("in first_fn"));
    assert_eq!((crash.others[0].boot, crash.others[0].line), (Some(1), Some(4)));
}

#[test]
fn a_boot_whose_first_lines_are_lost_shows_by_its_times() {
    let log = format!("{}[    1.000000] usb 1-1: a\n{}", crashing("old_fn"), crashing("new_fn"));
    assert_eq!(crash(&log).unwrap().frame.as_deref(), Some("new_fn"));
}

#[test]
fn a_later_boot_that_only_warns_has_not_crashed() {
    let warning = "[    3.000000] WARNING: CPU: 0 PID: 1 at a.c:1 warns+0x1/0x2\n[    3.000001] Modules linked in:\n";
    let log = format!("{BOOT}{}{BOOT}{warning}", crashing("old_fn"));
    assert_eq!(crash(&log).unwrap().frame.as_deref(), Some("old_fn"));
}

#[test]
fn a_guest_that_crashes_at_the_same_time_of_each_boot_has_many() {
    let log =
        ["first_one", "second_one", "third_one"].map(|name| BOOT.to_owned() + &crashing(name));
    let crash = crash(&log.concat()).unwrap();
    assert_eq!(crash.title, "BUG: unable to handle kernel paging request in third_one");
    assert_eq!(crash.evidence.boots.unwrap().count, 3);
}
