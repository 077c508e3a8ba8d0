//! The sections of the image, and where each begins and ends, by the kernel's own symbols.
//!
//! ```text
//! x86-64  .text  .rodata  .data  .orc_unwind_ip  .orc_unwind  .data..percpu  .init.text  .init.data  .bss
//! arm64   .text  .rodata  .init.text  .init.data  .data..percpu  .data  .bss
//! ```
//!
//! crash wants `.text`, `.data` and `.init.text`, all with contents, and takes a variable for
//! per-CPU if its section has contents, too. drgn takes a file with `.init.text` for a vmlinux.

use super::linked::Linked;
use crate::kernel::Kernel;

/// What is in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// What the build determines, up to what the kernel patched when it started.
    Code,
    /// Data that a kernel does not write.
    Constant,
    /// Data.
    Data,
    /// The same in each boot: ORC tables.
    Table,
    /// Freed after the start, or only a template: what is in memory now is of no use.
    Freed,
    /// Zeros when the kernel started, or freed, and wanted by no debugger; not in the file.
    Zeros,
}

/// A section of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// Its link-time address.
    pub(super) at: u64,
    pub(super) length: u64,
    pub(super) content: Content,
}

impl Section {
    pub(super) fn end(&self) -> u64 {
        self.at.saturating_add(self.length)
    }

    /// Whether it has code.
    pub(super) fn is_code(&self) -> bool {
        matches!(self.name, ".text" | ".init.text")
    }

    pub(super) fn contains(&self, at: u64) -> bool {
        at >= self.at && at < self.end()
    }
}

/// The longest image. Kernels have 20 to 100 MiB.
const MAX_LENGTH: u64 = 512 << 20;

/// Name, the symbols that may be its first byte, those that may be its end, and what is in it.
type Bounds = (&'static str, &'static [&'static str], &'static [&'static str], Content);

const SECTIONS: &[Bounds] = &[
    (".text", &["_text", "_stext"], &["_etext"], Content::Code),
    (".rodata", &["__start_rodata"], &["__end_rodata"], Content::Constant),
    (".data", &["_sdata", "_data"], &["_edata"], Content::Data),
    (".orc_header", &["__start_orc_header"], &["__stop_orc_header"], Content::Table),
    (".orc_unwind_ip", &["__start_orc_unwind_ip"], &["__stop_orc_unwind_ip"], Content::Table),
    (".orc_unwind", &["__start_orc_unwind"], &["__stop_orc_unwind"], Content::Table),
    (".data..percpu", &["__per_cpu_start"], &["__per_cpu_end"], Content::Freed),
    (".init.text", &["_sinittext"], &["_einittext"], Content::Freed),
    (
        ".init.data",
        &["__initdata_begin", "_einittext"],
        &["__initdata_end", "__init_end"],
        Content::Zeros,
    ),
    (".bss", &["__bss_start"], &["__bss_stop"], Content::Zeros),
    (".brk", &["__brk_base"], &["__brk_limit"], Content::Zeros),
];

/// The sections, by ascending address. They do not overlap.
pub(super) fn sections(kernel: &Kernel, linked: &Linked) -> Vec<Section> {
    let first = |names: &[&str]| names.iter().find_map(|name| linked.address(kernel, name));
    let mut sections: Vec<Section> = Vec::new();
    for (name, from, to, content) in SECTIONS {
        let (Some(at), Some(end)) = (first(from), first(to)) else { continue };
        let length = end.saturating_sub(at);
        let percpu = *name == ".data..percpu";
        if length == 0 || length > MAX_LENGTH || !(percpu || linked.in_image(at)) {
            continue;
        }
        sections.push(Section { name, at, length, content: *content });
    }
    sections.sort_by_key(|section| section.at);
    // What is freed with the templates of per-CPU variables surrounds these.
    let starts: Vec<u64> = sections.iter().skip(1).map(|section| section.at).collect();
    for (section, next) in sections.iter_mut().zip(starts) {
        section.length = section.length.min(next.saturating_sub(section.at));
    }
    sections.retain(|section| section.length > 0);
    sections
}
