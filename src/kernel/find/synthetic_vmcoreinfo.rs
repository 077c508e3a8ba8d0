//! A synthetic VMCOREINFO, from a kernel's symbols and types.
//!
//! It has the keys that the readers here look up, with the values that the kernel itself would
//! have written. The layout of the printk ring comes from types. Kernels without BTF have the
//! older log buffer, whose records have one layout in all of them.

use std::fmt::Write;

use crate::kernel::arch::{Arch, Image};
use crate::kernel::{Kernel, Symbols, Types};

/// How much of the banner is read.
const MAX_BANNER: usize = 256;
/// Symbols that VMCOREINFO has by their own names.
const SYMBOLS: [&str; 10] = [
    "init_uts_ns",
    "_stext",
    "prb",
    "printk_rb_static",
    "clear_seq",
    "log_buf",
    "log_buf_len",
    "log_first_idx",
    "log_next_idx",
    "clear_idx",
];
/// Structures that VMCOREINFO has, each with the members of it.
const STRUCTURES: [(&str, &[&str]); 7] = [
    ("printk_ringbuffer", &["desc_ring", "text_data_ring", "fail"]),
    ("prb_desc_ring", &["count_bits", "descs", "infos", "head_id", "tail_id"]),
    ("prb_desc", &["state_var", "text_blk_lpos"]),
    ("prb_data_blk_lpos", &["begin", "next"]),
    ("printk_info", &["seq", "ts_nsec", "text_len", "caller_id", "dev_info"]),
    ("dev_printk_info", &["subsystem", "device"]),
    ("prb_data_ring", &["size_bits", "data", "head_lpos", "tail_lpos"]),
];
/// Texts in the log's records, by the names that VMCOREINFO has for their lengths.
const TEXTS: [(&str, &str); 2] =
    [("printk_info_subsystem", "subsystem"), ("printk_info_device", "device")];
/// `struct printk_log`, of the older log buffer.
const RECORD: &str = "SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\n\
    OFFSET(printk_log.text_len)=10\nOFFSET(printk_log.dict_len)=12\n";

/// The keys that come from symbols and from the image.
pub(super) fn of_symbols(arch: &dyn Arch, image: &Image, symbols: &Symbols) -> String {
    let mut text = image.location.clone();
    let banner = symbols.address_of("linux_banner");
    let banner = banner.and_then(|at| image.space.read_vec(at, MAX_BANNER).ok());
    let banner = banner.unwrap_or_default();
    if let Some(release) = banner.split(|byte| *byte == b' ').nth(2) {
        line(&mut text, "OSRELEASE", &String::from_utf8_lossy(release));
    }
    if let Some(id) = symbols.build_id() {
        line(&mut text, "BUILD-ID", &id);
    }
    for name in SYMBOLS {
        if let Some(at) = symbols.address_of(name) {
            line(&mut text, &format!("SYMBOL({name})"), &format_args!("{:x}", at.0));
        }
    }
    if let Some(at) = symbols.address_of(arch.root_symbol()) {
        line(&mut text, "SYMBOL(swapper_pg_dir)", &format_args!("{:x}", at.0));
    }
    text
}

/// The layout of the log: from types, and what is the same in all kernels.
pub(super) fn of_types(kernel: &Kernel) -> String {
    let mut text = RECORD.to_owned();
    line(&mut text, "SIZE(atomic_long_t)", &8);
    line(&mut text, "OFFSET(atomic_long_t.counter)", &0);
    if let Ok(types) = kernel.types() {
        for (structure, members) in STRUCTURES {
            add_structure(&mut text, types, structure, members);
        }
        for (length, member) in TEXTS {
            if let Ok(field) = types.field("dev_printk_info", member) {
                line(&mut text, &format!("LENGTH({length})"), &field.size);
            }
        }
    }
    text
}

fn add_structure(text: &mut String, types: &Types, structure: &str, members: &[&str]) {
    if let Ok(size) = types.size(structure) {
        line(text, &format!("SIZE({structure})"), &size);
    }
    for member in members {
        if let Ok(offset) = types.offset(structure, member) {
            line(text, &format!("OFFSET({structure}.{member})"), &offset);
        }
    }
}

fn line(text: &mut String, key: &str, value: &dyn std::fmt::Display) {
    // Writing into a text does not fail.
    let _ = writeln!(text, "{key}={value}");
}
