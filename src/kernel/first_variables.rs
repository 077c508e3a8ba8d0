//! Asks for the variables that a report begins at, all at once.
//!
//! Each is in another chunk of the core, and each reader would wait for its own. A core on another
//! machine is asked for all of them together.

use super::Kernel;
use crate::vmcore::memory::MemoryRange;

/// The variables: names that the readers look up in any case.
const VARIABLES: &[&str] = &[
    "init_task",
    "modules",
    "saved_command_line",
    "dmi_ident",
    "tainted_mask",
    "avenrun",
    "clocksource_jiffies",
    "tk_core",
    "totalreserve_pages",
    "node_data",
    "__per_cpu_offset",
    "__start_orc_header",
    "__start_orc_unwind",
    "__start_orc_unwind_ip",
];
/// How many bytes of each are asked for; a core gives the whole chunk.
const LENGTH: u64 = 64;

impl Kernel {
    /// Has memory that is far away begin to fetch what a report begins at. Does nothing for a core on
    /// this machine.
    pub fn fetch_first_variables(&self) {
        let memory = self.space.memory();
        if !memory.is_far() || self.symbols().is_err() {
            return;
        }
        let places = VARIABLES.iter().filter_map(|name| self.symbol(name));
        let places = places.filter_map(|at| self.space.translate(at).ok());
        let ranges: Vec<_> = places.map(|start| MemoryRange { start, length: LENGTH }).collect();
        memory.prefetch(&ranges);
    }
}
