//! The symbols of the small real core: what they are was checked once against its `vmlinux`.

use std::collections::BTreeMap;
use std::path::Path;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::kallsyms::Mode;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::kernel::modules::RangeKind;
use crate::kernel::{CodeAddress, Kernel};
use crate::vmcore::Vmcore;

fn kernel() -> Kernel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/core/linux-6.1.zst");
    Kernel::find(&Vmcore::open(&path).unwrap()).unwrap()
}

#[test]
fn the_sample_cores_symbols_are_all_there_and_in_order() {
    let kernel = kernel();
    let symbols = kernel.symbols().unwrap();
    assert_eq!((symbols.count(), symbols.findings().len()), (87_182, 0));
    assert!(matches!(symbols.mode(), Mode::AbsolutePerCpu { .. }));
    let all: Vec<_> = symbols.iter().collect();
    assert_eq!(all.len(), 87_182);
    assert!(all.is_sorted_by_key(|(at, ..)| *at));
    assert!(all.iter().all(|(_, letter, _)| letter.is_ascii_alphabetic()));
    let names = all.iter().map(|(_, _, name)| name);
    assert!(names.clone().all(|name| name.bytes().all(|byte| byte.is_ascii_graphic())));
    // Whatever VMCOREINFO knows, too, is where it says, except for macros.
    for name in ["init_uts_ns", "_stext", "prb", "clear_seq", "init_top_pgt", "node_data"] {
        assert_eq!(symbols.address_of(name), kernel.info.symbol(name), "{name}");
    }
}

#[test]
fn addresses_have_a_place_in_code_and_data_alone() {
    let kernel = kernel();
    let symbols = kernel.symbols().unwrap();
    let panic = kernel.symbol("panic").unwrap();
    let behind = VirtAddr(panic.0 + 5);
    let place = kernel.resolve(CodeAddress::Return(behind)).unwrap();
    assert_eq!(place.to_string(), "panic+0x5/0x2f4");
    assert_eq!(place.build_id.as_deref(), kernel.info.value("BUILD-ID"));
    assert!(kernel.is_text(panic));
    // The call that ends a function returns to what is behind it.
    let end = VirtAddr(panic.0 + place.size);
    let place = kernel.resolve(CodeAddress::Return(end)).unwrap();
    assert_eq!(place.to_string(), "panic+0x2f4/0x2f4");
    let next = kernel.resolve(CodeAddress::Instruction(end)).unwrap();
    assert_eq!((next.offset, next.name == "panic"), (0, false));
    let data = kernel.symbol("init_task").unwrap();
    assert_eq!(symbols.containing(data).unwrap().name, "init_task");
    assert!(!kernel.is_text(data));
    // Per-CPU symbols are no addresses of the image.
    assert_eq!(symbols.containing(VirtAddr(0x1234)), None);
    let end = symbols.address_of("_end").unwrap();
    assert_eq!(symbols.containing(end), None);
    assert!(symbols.containing(VirtAddr(end.0 - 1)).is_some());
}

#[test]
fn names_that_are_not_unique_have_all_their_addresses() {
    let kernel = kernel();
    let symbols = kernel.symbols().unwrap();
    let all = symbols.all("cleanup_module");
    let expected: Vec<_> =
        symbols.iter().filter(|(_, _, name)| name == "type_show").map(|(at, ..)| at).collect();
    assert!(all.is_empty() && expected.len() > 1);
    assert_eq!(symbols.all("type_show"), expected);
    assert_eq!(symbols.address_of("type_show"), expected.first().copied());
    assert_eq!(symbols.address_of(""), None);
}

#[test]
fn symbols_are_found_by_their_structure_where_nothing_tells_where_they_are() {
    let mut other = kernel();
    let by_info = kernel();
    let by_info = by_info.symbols().unwrap();
    let lines = other.info.text().lines().filter(|line| !line.contains("kallsyms"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    other.info = VmcoreInfo::parse(text.as_bytes());
    let found = other.symbols().unwrap();
    assert_eq!((found.count(), found.mode()), (by_info.count(), by_info.mode()));
    assert!(found.iter().eq(by_info.iter()));
}

#[test]
fn modules_have_symbols_of_their_own() {
    let kernel = kernel();
    let core_module = kernel.modules().named("pvpanic").expect("pvpanic is loaded");
    let code = core_module.ranges.iter().find(|range| range.kind == RangeKind::Text).unwrap();
    let functions = (0..code.size).map(|offset| VirtAddr(code.base.0 + offset));
    let named = |at: &VirtAddr| {
        let place = kernel.resolve(CodeAddress::Instruction(*at));
        place.is_some_and(|place| place.name == "pvpanic_panic_notify")
    };
    let handler = functions.filter(named).min().expect("its handler of panics");
    let place = kernel.resolve(CodeAddress::Instruction(VirtAddr(handler.0 + 4))).unwrap();
    assert_eq!((place.name.as_str(), place.offset), ("pvpanic_panic_notify", 4));
    assert_eq!(place.module.as_deref(), Some("pvpanic"));
    assert_eq!(place.build_id, core_module.build_id);
    assert!(place.build_id.is_some() && place.size > 4 && kernel.is_text(handler));
    // Behind its code are its data, and nothing of it is before it.
    let data = core_module.ranges.iter().find(|range| range.kind == RangeKind::Data).unwrap();
    assert!(!kernel.is_text(data.base));
}

/// One of them was taken without a word.
#[test]
fn of_several_symbols_of_a_name_the_global_one_is_taken_or_a_finding_says_which() {
    let kernel = kernel();
    let symbols = kernel.symbols().unwrap();
    let mut by_name: BTreeMap<String, Vec<(VirtAddr, bool)>> = BTreeMap::new();
    for (at, letter, name) in symbols.iter() {
        let same = by_name.entry(name.into_owned()).or_default();
        same.push((at, letter.is_ascii_uppercase()));
    }
    let several = |(_, all): &(&String, &Vec<(VirtAddr, bool)>)| all[0].0 != all[all.len() - 1].0;
    let global = |all: &[(VirtAddr, bool)]| all.iter().filter(|(_, global)| *global).count();
    let mut named = by_name.iter().filter(several);
    let (name, all) = named.clone().find(|(_, all)| global(all) == 1).unwrap();
    let wanted = all.iter().find(|(_, global)| *global).map(|(at, _)| *at);
    assert_eq!(symbols.address_of(name), wanted);
    assert!(kernel.ambiguities().is_empty());
    let (name, all) = named.find(|(_, all)| global(all) == 0).unwrap();
    assert_eq!(symbols.address_of(name), Some(all[0].0));
    let all = kernel.ambiguities();
    assert!(all.len() == 1 && all[0].contains(&format!("symbols are named {name}:")), "{all:?}");
}
