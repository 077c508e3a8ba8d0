//! What a machine may lack for these tests: a program of Debian, or the rights of root.

use std::thread;

use crate::leave_out::leave_out;

/// Says that the test that calls this is left out.
///
/// Fails it where every test has to run.
#[track_caller]
pub(crate) fn lacking(what: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("{test} is left out: it needs {what}; tests/run leaves nothing out");
    assert!(leave_out(&line), "every test has to run, and this machine lacks {what}");
}
