//! Pages that are to be left out of a guest's core, where no plan can be made.

use std::sync::Arc;

use rustix::process::{Signal, kill_process};

use crate::core_stream::CoreStream;
use crate::report_child::{asked_of, await_end};
use crate::scripted_qemu::{PANICKED, Script};
use crate::setting::{Setting, finish};
use crate::tool;

#[test]
fn a_guest_without_a_kernel_that_is_understood_is_captured_whole() {
    let stream = Arc::new(CoreStream::without_vmcoreinfo(6));
    let setting = Setting::new(Script { stream: Arc::clone(&stream), ..Script::default() });
    let ran = setting.capture(&["--pages", "kernel", "--resume"]).expect(0);
    ran.says("warning: all pages are kept: no Linux kernel was found");
    let metadata = setting.whole_entry(&stream);
    assert_eq!(metadata.request.pages.as_deref(), Some("kernel"));
    assert!(metadata.pages_dropped.is_empty() && metadata.bytes_dropped.is_empty());
    let why = |warning: &String| warning.starts_with("all pages are kept");
    assert!(metadata.warnings.iter().any(why), "{metadata:#?}");
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_plan_that_crashes_costs_the_plan_alone() {
    let (setting, capture, process) = asked_of(&["--pages", "nonfree", "--resume"]);
    kill_process(process, Signal::ABORT).unwrap();
    await_end(process);
    setting.qemu.answer_all();
    finish(capture).expect(0).says("warning: no page is left out: ");
    let listing = setting.listing();
    let metadata = tool::metadata_of(&listing.entries[0]);
    let is_it = |warning: &String| warning.contains("was ended by SIGABRT");
    assert!(metadata.warnings.iter().any(is_it), "{metadata:#?}");
    assert!(metadata.pages_dropped.is_empty());
}

#[test]
fn a_class_that_there_is_not_is_refused_before_the_guest_is_asked() {
    let setting = Setting::new(Script::default());
    for pages in ["poison", "kernel,cached", ""] {
        setting.capture(&["--pages", pages]).expect(2).says("neither all, nonfree or kernel");
    }
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
}
