//! What a read through the monitor takes, and what the whole dump takes.
//!
//! | | a request | a MiB of it | the whole dump | a MiB of it |
//! |---|---:|---:|---:|---:|
//! | QEMU: `dump-guest-memory` with `begin` and `length` | 0.5 ms | 0.4 ms | 1 ms | 0.4 ms |
//! | libvirt: `virDomainMemoryPeek` | 1.5 ms | 5 ms | 60 ms | 1.3 ms |
//!
//! Measured on two-core Intel machines with QEMU 7.2 and libvirt 9.0 and 11.3. Only ratios
//! count: on a busy machine all of them grow alike.

use crate::monitor::Manager;

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// Times in microseconds, and the longest request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    request: u64,
    request_mib: u64,
    dump: u64,
    dump_mib: u64,
    /// The most that is asked for at once, in bytes. QEMU's main loop waits meanwhile, and what
    /// came is kept until it is written.
    pub(super) most: u64,
}

const QEMU: Cost =
    Cost { request: 500, request_mib: 400, dump: 1_000, dump_mib: 400, most: 8 * MIB };
/// libvirt writes each peek to a file, and reads it back.
const LIBVIRT: Cost =
    Cost { request: 1_500, request_mib: 5_000, dump: 60_000, dump_mib: 1_300, most: 4 * MIB };

impl Cost {
    /// Of this manager's ways.
    pub(super) fn of(manager: Manager) -> Self {
        match manager {
            Manager::Qemu => QEMU,
            Manager::Libvirt => LIBVIRT,
        }
    }

    /// How many bytes may be read in vain to save a request.
    pub(super) fn gap(&self) -> u64 {
        self.request.saturating_mul(MIB).checked_div(self.request_mib).unwrap_or_default()
    }

    /// What requests take, in microseconds.
    pub(super) fn of_requests(&self, count: usize, bytes: u64) -> u64 {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.request.saturating_mul(count).saturating_add(of_bytes(self.request_mib, bytes))
    }

    /// What the whole dump takes, in microseconds.
    pub(super) fn of_dump(&self, bytes: u64) -> u64 {
        self.dump.saturating_add(of_bytes(self.dump_mib, bytes))
    }
}

fn of_bytes(mib: u64, bytes: u64) -> u64 {
    let (whole, rest) = (bytes / MIB, bytes % MIB);
    mib.saturating_mul(whole).saturating_add(mib.saturating_mul(rest) / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_worth_a_request() {
        assert_eq!(Cost::of(Manager::Qemu).gap(), 320 * 4096);
        assert_eq!(QEMU.of_requests(1, QEMU.gap()), QEMU.of_requests(2, 0));
    }

    #[test]
    fn what_is_asked_for_has_no_overflow() {
        for cost in [QEMU, LIBVIRT] {
            assert!(cost.of_requests(usize::MAX, u64::MAX) >= cost.of_dump(1));
        }
    }
}
