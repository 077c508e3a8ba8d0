//! What cannot be meant, and is refused before anything happens.

use crate::scripted_qemu::{PANICKED, Script};
use crate::setting::Setting;
use crate::tool::run;

#[test]
fn a_guest_that_no_descriptor_reaches_is_refused_with_the_reason() {
    for (guest, says, hint) in [
        ("tcp:localhost:4444", "QMP over TCP cannot pass the descriptor", "unix:PATH"),
        ("localhost:4444", "QMP over TCP cannot pass the descriptor", "unix:PATH"),
        ("telnet:host:4444", "QMP over TCP cannot pass the descriptor", "unix:PATH"),
        ("libvirt:", "the domain's name or UUID", "virsh list"),
    ] {
        let ran = run(["capture", guest]).expect(2).says(says).says(hint);
        assert!(ran.stdout.is_empty());
    }
}

#[test]
fn what_contradicts_itself_is_refused_and_the_guest_not_even_asked() {
    let setting = Setting::new(Script::default());
    for (more, says) in [
        (&["--max-hold", "1s", "--hold"][..], "--max-hold needs an action that releases the guest"),
        (&["--max-hold", "1s", "--then", "hold"], "add --on-failure resume, reset or quit"),
        (&["--max-hold", "1s"], "add --on-failure resume, reset or quit"),
        (&["--max-hold", "1s", "--resume", "--on-failure", "hold"], "--max-hold needs an action"),
        (&["--max-hold", "0s", "--resume"], "it must be more than zero"),
        (&["--timeout", "soon"], "--timeout"),
        (&["--resume", "--reset"], "cannot be used with"),
        (&["--then", "resume", "--quit"], "cannot be used with"),
        (&["--then", "shrug"], "possible values: hold, resume, reset, quit"),
        (&["--wait", "--any-state"], "cannot be used with"),
        (&["--level", "20"], "--level"),
        (&["--threads", "0"], "--threads"),
        (&["--quiet", "--verbose"], "cannot be used with"),
    ] {
        setting.capture(more).expect(2).says(says);
    }
    run(["capture"]).expect(2).says("GUEST");
    setting.nothing_is_stored();
    assert!(setting.qemu.received("qmp_capabilities").is_empty());
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_quiet_capture_says_nothing_but_where_the_core_is() {
    let setting = Setting::new(Script::default());
    let ran = setting.capture(&["--quiet"]).expect(0);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    assert_eq!(setting.listing().entries, [ran.entry()]);
}
