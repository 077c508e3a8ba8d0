//! Texts that the kernel points to.

use vmcore_formats::addr::VirtAddr;

use super::Kernel;

const PAGE: u64 = 4096;

impl Kernel {
    /// The text at an address, up to its first NUL and at most `max` bytes long.
    ///
    /// Empty if nothing of it can be read. Bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn string(&self, at: VirtAddr, max: usize) -> String {
        let mut text = Vec::new();
        let mut at = at;
        while text.len() < max {
            // A text may end on the last page that there is.
            let left = usize::try_from(PAGE.saturating_sub(at.0 % PAGE)).unwrap_or(1);
            let take = left.min(max.saturating_sub(text.len()));
            let Ok(bytes) = self.space.read_vec(at, take) else { break };
            let end = bytes.iter().position(|byte| *byte == 0);
            text.extend(bytes.get(..end.unwrap_or(take)).unwrap_or_default());
            if end.is_some() {
                break;
            }
            at = at.wrapping_add(take as u64);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
