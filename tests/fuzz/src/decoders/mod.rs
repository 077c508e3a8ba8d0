//! The decoders of `formats`.

pub(crate) mod btf;
pub(crate) mod headers;
pub(crate) mod kallsyms;
pub(crate) mod libvirt;
pub(crate) mod monitor_text;
pub(crate) mod notes;
pub(crate) mod orc;
pub(crate) mod pages;
pub(crate) mod paging;
pub(crate) mod printk;

use vmcore_formats::endian::Endian;

/// A byte order, by the lowest bit of a byte.
fn endian(selector: u8) -> Endian {
    if selector & 1 == 0 { Endian::Little } else { Endian::Big }
}
