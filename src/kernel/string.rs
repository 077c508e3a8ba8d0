//! Texts that the kernel points to.

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use crate::vmcore::pages::page_pieces;

impl Kernel {
    /// The text at an address, up to its first NUL and at most `max` bytes long.
    ///
    /// Empty if nothing of it can be read. Bytes that are no UTF-8 are replaced.
    pub fn string(&self, at: VirtAddr, max: usize) -> String {
        let mut text = Vec::new();
        // A text may end on the last page that there is.
        for (at, length) in page_pieces(at.0, max) {
            let Ok(bytes) = self.space.read_vec(VirtAddr(at), length) else { break };
            let end = bytes.iter().position(|byte| *byte == 0);
            text.extend(bytes.get(..end.unwrap_or(length)).unwrap_or_default());
            if end.is_some() {
                break;
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
