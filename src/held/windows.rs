//! Memory that the monitor gives without a dump, in windows that are kept.
//!
//! libvirt's price is by the call, so a whole window is fetched at a time. Where the guest
//! has no memory, libvirt gives zeros: windows end where the guest's ranges do, and nothing
//! outside of them is asked for.

use std::collections::VecDeque;

use vmcore_formats::addr::PhysAddr;

use crate::monitor::{Answer, Monitor, WaitLimits};
use crate::vmcore::MemoryRange;
use crate::vmcore::memory::range_of;

/// The size of a window, in bytes.
const WINDOW: u64 = 1 << 20;
/// How many windows are kept.
const KEPT: usize = 32;

/// Windows that were fetched, the last one used at the end.
#[derive(Debug, Default)]
pub(super) struct Windows(VecDeque<(PhysAddr, Vec<u8>)>);

impl Windows {
    /// The bytes of `wanted`, which lies in one of the guest's ranges.
    ///
    /// Returns `Ok(None)` if this monitor gives memory by dumps only.
    pub(super) fn read(
        &mut self,
        monitor: &mut dyn Monitor,
        ranges: &[MemoryRange],
        wanted: MemoryRange,
        limits: &WaitLimits<'_>,
    ) -> Answer<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut at = wanted.start;
        while at < wanted.end() {
            let Some(range) = range_of(ranges, at) else { return Ok(None) };
            let start = PhysAddr(at.0 - at.0 % WINDOW).max(range.start);
            if !self.use_again(start) {
                let next = (at.0 / WINDOW).saturating_add(1).saturating_mul(WINDOW);
                let length = next.min(range.end().0).saturating_sub(start.0);
                let Some(window) = monitor.peek(start.0, length, limits)? else {
                    return Ok(None);
                };
                if self.0.len() >= KEPT {
                    self.0.pop_front();
                }
                self.0.push_back((start, window));
            }
            let skip = usize::try_from(at.0.saturating_sub(start.0)).unwrap_or(usize::MAX);
            let missing = wanted.end().0.saturating_sub(at.0);
            let window = self.0.back().and_then(|(_, window)| window.get(skip..));
            let window = window.unwrap_or_default();
            let length = usize::try_from(missing).unwrap_or(usize::MAX).min(window.len());
            bytes.extend_from_slice(window.get(..length).unwrap_or_default());
            if length == 0 {
                break;
            }
            at = at.saturating_add(length as u64);
        }
        Ok(Some(bytes))
    }

    /// Makes a window that is there the last one used.
    fn use_again(&mut self, start: PhysAddr) -> bool {
        let Some(index) = self.0.iter().position(|(kept, _)| *kept == start) else { return false };
        let window = self.0.remove(index);
        self.0.extend(window);
        true
    }
}
