//! A kernel's types, and those of a module that continue them.

use std::sync::Arc;

use vmcore_formats::btf::{Btf, Header};

use super::endian;
use crate::input::Input;
use crate::limits::{SMALL, within};

/// Names that are looked up: of the seed's types, and of none.
const STRUCTURES: [&str; 5] = ["task_struct", "list_head", "module", "state", ""];
const PATHS: [&str; 6] = ["comm", "tasks.next", "pid", "flags", "se.sum", "a.b.c.d"];
/// How many types are read by their number.
const TYPES: u32 = 4096;

/// Selector, length of the kernel's types, the kernel's types, those of a module.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let mut input = Input::new(input);
        let endian = endian(input.u8());
        let kernel = input.part();
        let _ = Header::decode(kernel, endian).map(|header| header.length());
        let Ok(kernel) = Btf::parse(kernel.to_vec(), endian) else { return };
        look_up(&kernel);
        if let Ok(module) = Btf::parse_split(input.rest().to_vec(), Arc::new(kernel)) {
            look_up(&module);
        }
    });
}

fn look_up(types: &Btf) {
    let _ = (types.unread(), types.next_string(), types.c_header().text.len());
    for id in 0..types.next_id().saturating_add(2).min(TYPES) {
        if let Some(found) = types.by_id(id) {
            let name = String::from_utf8_lossy(found.name()).into_owned();
            let _ = types.size(&name);
            let _ = types.enumerators(&name);
            let _ = (types.c_name(id), types.size_of(id), types.member_of(id, "comm"));
            let _ = (found.array(), found.integer(), found.members().count());
            let _ = (found.values().count(), found.parameters().count(), found.variables().count());
        }
    }
    for structure in STRUCTURES {
        for path in PATHS {
            let _ = (types.field(structure, path), types.fields(structure, path));
        }
        let _ = types.enumerator(structure, "A");
    }
}
