//! The program's own memory has a bound, whatever the guest's size.

use std::fs;
use std::process::{Command, Stdio};

use crate::machine::Machine;
use crate::tool;

/// What the program may take beside its spool, in MiB.
const LIMIT: u64 = 256;

#[test]
fn sixteen_threads_stay_within_the_bound() {
    let machine = Machine::panicked(&["--memory", "512M", "--append", "guest.anon=240"]);
    // What is slow to compress fills every buffer, and the spool; what is fast, none.
    for (level, spool) in [("1", 0), ("19", 0), ("1", 64), ("19", 64)] {
        let peak = machine.space("peak");
        let core = machine.space(&format!("core-{level}-{spool}"));
        let program = tool::command([
            "capture",
            &machine.monitor(),
            "--threads",
            "16",
            "--level",
            level,
            "--spool",
            &format!("{spool}M"),
            "--output",
        ]);
        let status = Command::new("/usr/bin/time")
            .args(["-f", "%M", "-o"])
            .arg(&peak)
            .arg(program.get_program())
            .args(program.get_args())
            .arg(&core)
            .stdout(Stdio::null())
            .status()
            .expect("GNU time starts");
        assert!(status.success());
        let peak: u64 = fs::read_to_string(&peak).unwrap().trim().parse().unwrap();
        let limit = LIMIT + spool;
        assert!(peak < limit << 10, "{peak} KiB at level {level} with {spool} MiB");
        let size = fs::metadata(&core).unwrap().len();
        assert!(size > 240 << 20, "random data does not compress: {size}");
    }
}
