//! VMCOREINFO: symbols, offsets and sizes that a kernel exports for dump readers.
//!
//! ```text
//! OSRELEASE=6.1.0-56-cloud-amd64
//! PAGESIZE=4096
//! SYMBOL(init_uts_ns)=ffffffff9ce1a180    hexadecimal, without 0x
//! OFFSET(printk_info.seq)=0               bytes
//! SIZE(printk_info)=88                    bytes
//! LENGTH(mem_section)=2048                elements
//! NUMBER(phys_base)=-94371840             signed, or 0x and hexadecimal
//! KERNELOFFSET=1ae00000                   hexadecimal
//! ```
//!
//! Source: Linux `kernel/vmcore_info.c` (`kernel/crash_core.c` before commit 443cbaf9e2fd
//! "crash: split vmcoreinfo exporting code out from `crash_core.c`", in v6.9).
//! Numbers wrap into 64 bits, like the kernel's own arithmetic.
//!
//! ```
//! use vmcore_formats::addr::VirtAddr;
//! use vmcore_formats::vmcoreinfo::VmcoreInfo;
//!
//! let text = b"OSRELEASE=6.1.0\nSYMBOL(prb)=ffffffff9ce1a180\nNUMBER(phys_base)=-4096\n";
//! let info = VmcoreInfo::parse(text);
//! assert_eq!(info.release(), Some("6.1.0"));
//! assert_eq!(info.symbol("prb"), Some(VirtAddr(0xffff_ffff_9ce1_a180)));
//! assert_eq!(info.number("phys_base"), Some(4096_u64.wrapping_neg()));
//! assert_eq!(info.size("printk_info"), None);
//! ```

use std::collections::HashMap;

use crate::addr::VirtAddr;
use crate::text::{MAX_RELEASE, bounded};

/// The longest text that is read, in bytes. The kernel's own is one page.
pub const MAX_LENGTH: usize = 1 << 20;
/// The first bytes of the text.
pub const BEGINNING: &[u8] = b"OSRELEASE=";

/// A parsed VMCOREINFO text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmcoreInfo {
    text: String,
    values: HashMap<String, String>,
}

impl VmcoreInfo {
    /// Parses the text up to its first NUL. Lines without `=` are ignored; of two lines
    /// with the same key, the first counts. The longest value of a kernel is its release: longer
    /// ones than [`MAX_RELEASE`] are cut.
    pub fn parse(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..MAX_LENGTH).unwrap_or(bytes);
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
        let mut values = HashMap::new();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            values.entry(key.to_owned()).or_insert_with(|| bounded(value, MAX_RELEASE));
        }
        Self { text, values }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A value by its whole key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The release, as `uname -r` has it.
    pub fn release(&self) -> Option<&str> {
        self.value("OSRELEASE")
    }

    /// `PAGESIZE`, if a supported processor has such pages.
    pub fn page_size(&self) -> Option<u64> {
        let size = self.value("PAGESIZE")?.parse().ok()?;
        [4 << 10, 16 << 10, 64 << 10].contains(&size).then_some(size)
    }

    /// `SYMBOL(name)`: an address.
    pub fn symbol(&self, name: &str) -> Option<VirtAddr> {
        let value = self.value(&format!("SYMBOL({name})"))?;
        u64::from_str_radix(value.trim_start_matches("0x"), 16).ok().map(VirtAddr)
    }

    /// `OFFSET(name)`, for example of `printk_info.seq`, in bytes.
    pub fn offset(&self, name: &str) -> Option<u64> {
        self.value(&format!("OFFSET({name})"))?.parse().ok()
    }

    /// `SIZE(name)`, in bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.value(&format!("SIZE({name})"))?.parse().ok()
    }

    /// `LENGTH(name)`, in elements.
    pub fn length(&self, name: &str) -> Option<u64> {
        self.value(&format!("LENGTH({name})"))?.parse().ok()
    }

    /// `NUMBER(name)`, as 64 bits: negative numbers wrap.
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.value(&format!("NUMBER({name})"))?;
        match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => value.parse().or_else(|_| value.parse().map(i64::cast_unsigned)).ok(),
        }
    }

    /// `KERNELOFFSET`: the displacement of the kernel by KASLR.
    pub fn kernel_offset(&self) -> Option<u64> {
        u64::from_str_radix(self.value("KERNELOFFSET")?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(prb)=ffffffff9ce1a180\n\
        OFFSET(printk_info.seq)=8\nSIZE(printk_info)=88\nLENGTH(mem_section)=2048\n\
        NUMBER(phys_base)=-4096\nNUMBER(VMALLOC_START)=0xffffb00000000000\n\
        KERNELOFFSET=1ae00000\nOSRELEASE=second\nnonsense\n\0OFFSET(behind)=1\n";

    #[test]
    fn each_kind_of_value_is_read_in_its_own_base() {
        let info = VmcoreInfo::parse(TEXT);
        assert_eq!(info.release(), Some("6.1.0"));
        assert_eq!(info.page_size(), Some(4096));
        assert_eq!(info.symbol("prb"), Some(VirtAddr(0xffff_ffff_9ce1_a180)));
        assert_eq!(info.offset("printk_info.seq"), Some(8));
        assert_eq!(info.size("printk_info"), Some(88));
        assert_eq!(info.length("mem_section"), Some(2048));
        assert_eq!(info.number("phys_base"), Some(4096_u64.wrapping_neg()));
        assert_eq!(info.number("VMALLOC_START"), Some(0xffff_b000_0000_0000));
        assert_eq!(info.kernel_offset(), Some(0x1ae0_0000));
        assert_eq!(info.offset("behind"), None, "text after a NUL is ignored");
    }

    #[test]
    fn a_release_is_as_long_as_one_at_most_and_a_cut_can_be_seen() {
        let long = ["OSRELEASE=", &"r".repeat(70_000), "\nPAGESIZE=4096\n"].concat();
        let info = VmcoreInfo::parse(long.as_bytes());
        let release = info.release().unwrap();
        assert!(release.len() <= MAX_RELEASE && release.ends_with('…'), "{}", release.len());
        assert_eq!(info.page_size(), Some(4096));
    }

    #[test]
    fn every_truncation_is_parsed() {
        for len in 0..TEXT.len() {
            let info = VmcoreInfo::parse(&TEXT[..len]);
            assert!(info.release().is_none_or(|release| "6.1.0".starts_with(release)));
        }
    }

    #[test]
    fn an_impossible_page_size_is_ignored() {
        assert_eq!(VmcoreInfo::parse(b"PAGESIZE=0\n").page_size(), None);
        assert_eq!(VmcoreInfo::parse(b"PAGESIZE=4097\n").page_size(), None);
    }
}
