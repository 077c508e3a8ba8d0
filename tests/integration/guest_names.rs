//! Guest names, which anybody may choose who starts a QEMU.

use std::fs;

use crate::scripted_qemu::Script;
use crate::setting::Setting;
use crate::tool::run;

#[test]
fn no_guest_name_leaves_the_store() {
    let long = "x".repeat(300);
    for name in [
        "../../etc",
        "..",
        ".",
        "",
        "/root",
        "a\nb",
        "web.incomplete",
        "\u{1b}[31mred",
        "b\u{fc}ro",
        &long,
    ] {
        let script = Script { name: Some(name.to_owned()), ..Script::default() };
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        let entry = setting.capture(&["--resume"]).expect(0).entry();
        let metadata = setting.whole_entry(&stream);
        assert_eq!(metadata.guest.name.as_deref(), Some(name));

        let store = setting.store.canonicalize().unwrap();
        let entry = entry.canonicalize().unwrap();
        assert_eq!(entry.parent().and_then(|guest| guest.parent()), Some(&*store), "{name:?}");
        // Nothing appeared beside the store.
        let around = fs::read_dir(store.parent().unwrap()).unwrap().count();
        assert_eq!(around, 1, "{name:?}");

        // A terminal obeys nothing of it.
        let told = run(["info", entry.to_str().unwrap()]).expect(0).stdout;
        let control = told.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{told:?}");
        let latest = format!("latest:{name}");
        let store = store.to_str().unwrap();
        run(["info", &latest, "--store", store]).expect(0);
    }
}

#[test]
fn a_guest_without_a_name_is_stored_too() {
    let script = Script { name: None, ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    assert_eq!(setting.whole_entry(&stream).guest.name, None);
    assert_eq!(entry.parent().unwrap(), setting.store.join("unnamed"));
}
