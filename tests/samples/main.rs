//! What the commands answer on the sample core, compared with what is expected.
//!
//! Each line of `transcripts!` is a command on `samples/core/linux-6.1.zst`; what
//! it prints, what it says and its exit code stand in `expected/NAME.txt`.
//! With `VMCORECTL_RENEW=1` in the environment the answers of today become the
//! expected ones: read their difference before it is committed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod browser;
mod completing;
mod console;
mod damage;
mod damaged_chunks;
mod difference;
mod hostile_packs;
mod hostile_symbols;
#[path = "../tool/leave_out.rs"]
mod leave_out;
#[path = "../tool/offline.rs"]
mod offline;
mod page_faults;
mod pages;
mod reports;
mod symbol_files;
#[allow(dead_code, reason = "other suites need the rest of it")]
#[path = "../tool/mod.rs"]
mod tool;
mod transcript;
mod triage_pack;
mod vmlinux;

/// The sample, as seen from the project's folder, in which the commands run.
pub(crate) const CORE: &str = "samples/core/linux-6.1.zst";

/// A store with the sample as its one entry. Transcripts show this word, not its path.
pub(crate) const STORE: &str = "STORE";

/// Makes a test of each line, and a list of all of them.
macro_rules! transcripts {
    ($($name:ident: $($argument:expr)+;)+) => {
        /// The names of all transcripts.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),+];

        mod answers {
            #[allow(unused_imports, reason = "not every command names the core")]
            use super::*;
            $(#[test]
            fn $name() {
                transcript::check(stringify!($name), &[$($argument),+]);
            })+
        }
    };
}

// A line is the name of the test, and what is typed after `vmcorectl`.
transcripts! {
    bt: "bt" CORE;
    bt_all: "bt" CORE "--all";
    bt_json: "bt" CORE "--json";
    bt_of_a_task: "bt" CORE "--task" "2";
    bt_of_a_cpu_too_many: "bt" CORE "--cpu" "7";
    bt_of_no_task: "bt" CORE "--task" "99999";
    bt_with_another_kernel: "bt" CORE "--vmlinux" "samples/core/linux-6.1.serial";
    dmesg: "dmesg" CORE;
    dmesg_caller: "dmesg" CORE "--caller" "--tail" "5";
    dmesg_dated: "dmesg" CORE "-T" "--tail" "5";
    dmesg_errors: "dmesg" CORE "--level" "err+";
    dmesg_json: "dmesg" CORE "--json" "--tail" "5";
    dmesg_late: "dmesg" CORE "--since" "-10ms";
    explain: "explain" CORE;
    explain_json: "explain" CORE "--json";
    group: "group" "--store" STORE;
    info: "info" CORE;
    info_json: "info" CORE "--json";
    info_kernel: "info" CORE "--kernel";
    info_kernel_json: "info" CORE "--kernel" "--json";
    info_of_an_entry: "info" "latest:sample" "--store" STORE;
    info_of_no_core: "info" "samples/core/linux-6.1.serial";
    list: "list" "--store" STORE;
    list_json: "list" "--store" STORE "--json";
    mods: "mods" CORE;
    mods_json: "mods" CORE "--json";
    print_array: "print" CORE "unsigned long [4]" "__per_cpu_offset";
    print_container: "print" CORE "task_struct.pid,comm" "init_task.tasks" "--container-of" "tasks";
    print_cpus: "print" CORE "rq.nr_running,curr" "runqueues" "--cpu" "all";
    print_enumeration: "print" CORE "enum module_state";
    print_json: "print" CORE "cred" "task_struct@init_task.cred" "--json";
    print_layout: "print" CORE "struct page";
    print_list: "print" CORE "module.name,state" "modules" "--list" "list" "--elements" "3";
    print_list_of_pointers: "print" CORE "file_system_type.name" "file_systems" "--list" "next";
    print_member: "print" CORE "task_struct" "init_task.cred.user_ns.owner.val";
    print_module_type: "print" CORE "virtqueue";
    print_no_member: "print" CORE "task_struct" "init_task.com";
    print_no_type: "print" CORE "task_strcut" "init_task";
    print_null: "print" CORE "task_struct" "init_task.mm.pgd";
    print_per_cpu_without_cpu: "print" CORE "runqueues";
    print_structure: "print" CORE "uts_namespace" "init_uts_ns";
    print_tree: "print" CORE "vmap_area.va_start" "vmap_area_root" "--rbtree" "rb_node" "--elements" "2";
    print_unreadable: "print" CORE "list_head" "0x10";
    print_variable: "print" CORE "runqueues.cpu" "--cpu" "1";
    ps: "ps" CORE;
    ps_blocked: "ps" CORE "--blocked";
    ps_tree: "ps" CORE "--tree" "--user";
    ps_json: "ps" CORE "--json" "--user" "--threads";
    read: "read" CORE "2000180" "128";
    read_json_past_the_end: "read" CORE "4fffff0" "40" "--json";
    read_virtual_words: "read" CORE "-v" "ff55b51f40003fc0" "64" "--words" "8";
    read_virtual_not_mapped: "read" CORE "-v" "0" "64";
    read_missing: "read" CORE "100000000" "16";
    // init_uts_ns, from the core's VMCOREINFO.
    read_virtual: "read" CORE "ffffffff94df9b60" "0x1a0" "--virtual";
    regs: "regs" CORE;
    regs_json: "regs" CORE "--cpu" "1" "--json";
    regs_of_a_vcpu_too_many: "regs" CORE "--cpu" "2";
    report: "report" CORE;
    report_json: "report" CORE "--json";
    report_of_no_core: "report" "samples/core/linux-6.1.serial";
    search: "search" CORE "Linux version ";
    search_context: "search" CORE "Kernel panic - not" "-C" "16";
    search_count: "search" CORE "00" "--hex" "--count";
    search_json_limited: "search" CORE "--hex" "4b 65 ?? ?? 65 6c 20 70 61 6e" "--json" "--limit" "2";
    search_nothing: "search" CORE "no guest says this";
    search_word: "search" CORE "--word" "ff55b51f40003ff8";
    verify: "verify" CORE;
    verify_json: "verify" CORE "--json";
    // swapper_pg_dir, in the kernel's image: a page of 2 MiB.
    vtop_image: "vtop" CORE "ffffffff94c10000";
    vtop_json: "vtop" CORE "ffffffff94c10000" "--json";
    // mem_section, in the direct map.
    vtop_direct_map: "vtop" CORE "ff45100d84d90000";
    vtop_unmapped: "vtop" CORE "ffffffffff000000";
    vtop_of_a_process: "vtop" CORE "400000" "--cpu" "0";
}
