//! Unwind tables.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::orc::{IpTable, OrcEntry, OrcShape, OrcVersion};

use crate::input::Input;
use crate::limits::{SMALL, within};

/// Where the table is, an address, the table of addresses, and entries.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let mut input = Input::new(input);
        let (start, ip, shape) = (VirtAddr(input.u64()), VirtAddr(input.u64()), input.u8());
        let table = IpTable::new(start, input.part());
        for at in [ip, VirtAddr(0), VirtAddr(u64::MAX)] {
            if let Some(found) = table.find(at) {
                assert!(found < table.count(), "entry {found} of {}", table.count());
            }
        }
        let _ = table.address(table.count());
        let entries = input.rest();
        let _ = OrcVersion::of_hash(entries);
        let shape = OrcShape { signal: shape & 1 == 1, end: shape & 2 == 2 };
        let known = [OrcVersion::V1, OrcVersion::V2, OrcVersion::V3, OrcVersion::V4].map(Some);
        let found = [OrcVersion::of_shape(shape, entries), OrcVersion::of_entries(entries)];
        for version in known.into_iter().chain(found).flatten() {
            let (chunks, _) = entries.as_chunks();
            for entry in chunks {
                let _ = OrcEntry::decode(*entry, version);
            }
        }
    });
}
