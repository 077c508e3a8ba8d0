//! What `symbols` makes of the sample for volatility3, for `nm`'s readers, and for C compilers.

use std::collections::HashSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use object::{Object, ObjectSection, ObjectSymbol};

use crate::CORE;
use crate::tool::run;

/// What is written in a format.
fn written(format: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    run(["symbols", CORE, "--format", format, "-o", path.to_str().unwrap()]).expect(0);
    fs::read_to_string(path).unwrap()
}

/// A structure, as `print` has it.
fn layout(name: &str) -> Value {
    serde_json::from_str(&run(["print", CORE, name, "--json"]).expect(0).stdout).unwrap()
}

#[test]
fn a_system_map_has_the_symbols_in_order() {
    let map = written("map");
    let lines: Vec<Vec<&str>> = map.lines().map(|line| line.split(' ').collect()).collect();
    assert!(lines.len() > 80_000, "{}", lines.len());
    assert!(lines.iter().all(|words| words.len() == 3 && words[0].len() == 16), "{:?}", lines[0]);
    assert!(lines.is_sorted_by_key(|words| words[0]));
    assert!(map.contains("\nffffffff81000000 T _text\n"));
}

#[test]
fn an_isf_has_types_by_offset_and_symbols_with_their_types() {
    let isf: Value = serde_json::from_str(&written("isf")).unwrap();
    assert_eq!(isf["metadata"]["format"], "6.2.0");
    let task = &isf["user_types"]["task_struct"];
    assert_eq!(task["size"], layout("task_struct")["size"]);
    assert_eq!(task["fields"]["comm"]["type"]["count"], 16);
    let banner = &isf["symbols"]["linux_banner"];
    // "Linux version " in base64.
    assert!(
        banner["constant_data"].as_str().unwrap().starts_with("TGludXggdmVyc2lvbi"),
        "{banner}"
    );
    assert_eq!(isf["symbols"]["init_task"]["type"]["name"], "task_struct");
    // Each type that a member has is there.
    let of = |kind: &str| -> HashSet<String> {
        isf[kind].as_object().unwrap().keys().cloned().collect()
    };
    let (base, user, enums) = (of("base_types"), of("user_types"), of("enums"));
    for (name, found) in isf["user_types"].as_object().unwrap() {
        for (field, value) in found["fields"].as_object().unwrap() {
            let mut of = &value["type"];
            while let Some(inner) = of.get("subtype").or_else(|| of.get("type")) {
                of = inner;
            }
            let Some(wanted) = of["name"].as_str() else { continue };
            let known = match of["kind"].as_str().unwrap() {
                "base" => base.contains(wanted),
                "enum" => enums.contains(wanted),
                _ => user.contains(wanted),
            };
            assert!(known, "{name}.{field}: {of}");
        }
    }
}

#[test]
fn a_compiler_lays_the_header_out_as_the_kernel_does() {
    let mut text = written("header");
    let names = ["task_struct", "module", "page", "rq", "mm_struct", "inode", "sk_buff", "net"];
    for name in names {
        let found = layout(name);
        text += &format!("_Static_assert(sizeof(struct {name}) == {}, \"\");\n", found["size"]);
        for member in found["layout"]["members"].as_array().unwrap() {
            let (field, bit) = (member["name"].as_str().unwrap(), &member["bit_offset"]);
            if member["bits"].is_null() && !field.is_empty() {
                let at = bit.as_u64().unwrap() / 8;
                text += &format!(
                    "_Static_assert(__builtin_offsetof(struct {name}, {field}) == {at}, \"\");\n"
                );
            }
        }
    }
    assert!(text.matches("_Static_assert").count() > 300);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinux.c");
    fs::write(&path, text).unwrap();
    let mut compiler = Command::new("cc");
    let output = compiler.args(["-fsyntax-only", "-w"]).arg(&path).output().expect("cc starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said:.2000}");
}

#[test]
fn each_module_has_a_relocatable_file_and_a_link_by_its_build_id() {
    let folder = tempfile::tempdir().unwrap();
    let modules = folder.path().join("modules");
    let ran = run(["symbols", CORE, "--modules", modules.to_str().unwrap()]).expect(0);
    let listed: Value =
        serde_json::from_str(&run(["mods", CORE, "--json"]).expect(0).stdout).unwrap();
    let listed = listed["modules"].as_array().unwrap();
    assert_eq!(ran.stdout.lines().count(), listed.len(), "{}", ran.stdout);
    let mut with_types = 0;
    for module in listed {
        let name = module["name"].as_str().unwrap();
        let bytes = fs::read(modules.join(format!("{name}.ko"))).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        assert_eq!(file.kind(), object::ObjectKind::Relocatable);
        let id = file.build_id().unwrap().unwrap();
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, rest) = id.split_at(2);
        let link = modules.join(".build-id").join(first).join(format!("{rest}.debug"));
        assert_eq!(fs::read(link).unwrap(), bytes, "{name}");
        let text = file.section_by_name(".text").unwrap();
        let functions = file.symbols().filter(|one| one.section_index() == Some(text.index()));
        let in_section = |one: object::Symbol<'_, '_>| one.address() <= text.size();
        assert!(functions.into_iter().all(in_section), "{name}");
        if let Some(info) = file.section_by_name(".debug_info") {
            with_types += 1;
            assert!(info.relocations().count() > 0 || name.starts_with("pvpanic"), "{name}");
        }
    }
    assert!(with_types > 0, "no module has types");
    // Nothing is overwritten.
    run(["symbols", CORE, "--modules", modules.to_str().unwrap()]).expect(1);
}

#[test]
fn a_variable_that_btf_does_not_have_is_printed_by_the_table() {
    let printed = run(["print", CORE, "init_task.comm"]).expect(0).stdout;
    assert!(printed.contains("swapper/0"), "{printed}");
    let printed = run(["print", CORE, "uidhash_table", "--elements", "2"]).expect(0).stdout;
    assert!(printed.contains("struct hlist_head [128]"), "{printed}");
}
