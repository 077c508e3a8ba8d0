//! The file formats of guest cores, as values.
//!
//! Bytes in, values out, and back. Nothing here opens a file, reads a clock,
//! starts a thread or panics: these decoders see bytes that a hostile guest may
//! have written.
//!
//! | module | what it describes |
//! |---|---|
//! | [`endian`] | byte order: bytes to numbers and back |
//! | [`cursor`] | fields of untrusted bytes, one after the other |
//! | [`addr`] | guest addresses and page numbers |
//! | [`btf`] | a kernel's types, as it carries them |
//! | [`domain_xml`] | libvirt's description of a domain: panic, memory, QEMU's arguments |
//! | [`elf`] | QEMU's ELF core as a stream, and the normalised core that is stored |
//! | [`flat_view`] | where a QEMU has its guest's memory, as its monitor prints it |
//! | [`gdb_remote`] | packets of gdb's remote protocol |
//! | [`kdump`] | kdump-compressed files, and the flattened form |
//! | [`libvirt`] | the messages of libvirt's RPC protocol |
//! | [`orc`] | the kernel's unwind tables on x86-64 |
//! | [`kallsyms`] | the kernel's symbol table in its memory: tokens, names, addresses |
//! | [`page_class`] | classes of pages, and the record of those that a core leaves out |
//! | [`paging`] | page tables of x86-64 and arm64: geometry and entries |
//! | [`printk`] | the kernel's log: the lockless ring, and the record buffer before it |
//! | [`process_map`] | the mappings of a process |
//! | [`registers`] | the registers of a vCPU, from the notes of each architecture |
//! | [`seekable`] | the Zstandard seekable format: seek table and skippable frames |
//! | [`struct_page`] | the kernel's record of each page, and the class of page that follows |
//! | [`text`] | text of a guest, bounded |
//! | [`triage_pack`] | the head of a triage pack: the part of a core that a report reads |
//! | [`zstd_frame`] | headers of a Zstandard frame and of its blocks |
//! | [`vmcoreinfo`] | VMCOREINFO: symbols, offsets and sizes that a kernel exports for dump readers |
//! | [`windows_dump`] | the header of a Windows crash dump |
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "tests count small numbers of their own"
    )
)]

pub mod addr;
pub mod btf;
pub mod cursor;
pub mod domain_xml;
pub mod elf;
pub mod endian;
pub mod flat_view;
pub mod gdb_remote;
pub mod kallsyms;
pub mod kdump;
pub mod libvirt;
pub mod orc;
pub mod page_class;
pub mod paging;
pub mod printk;
pub mod process_map;
pub mod registers;
pub mod seekable;
pub mod struct_page;
pub mod text;
pub mod triage_pack;
pub mod vmcoreinfo;
pub mod windows_dump;
pub mod zstd_frame;
