//! The mappings of a process, as Linux lists them in `/proc/PID/maps`.
//!
//! ```text
//! 7fd77bdfe000-7fd77fdfe000 rw-s 00000000 fe:00 10010715    /path of the file
//! start        end          │  │ offset   │     └ inode, 0 without a file
//!                           │  │          └ device of the file
//!                           │  └ s: shared, p: private
//!                           └ rights
//! ```
//!
//! Numbers are in hex but for the inode. The end is exclusive.

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The address after its last byte.
    pub end: u64,
    /// Whether what is written to it is written to its file.
    pub shared: bool,
    /// The file, if it is of one.
    pub file: Option<MappedFile>,
}

/// The file of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// Major and minor number of its device.
    pub device: (u32, u32),
    /// Its inode.
    pub inode: u64,
    /// Where in the file the mapping begins, in bytes.
    pub offset: u64,
}

impl Mapping {
    /// Decodes a line. Returns `None` for one that is not understood.
    pub fn decode(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let (start, end) = (hex(start)?, hex(end)?);
        let shared = match fields.next()?.as_bytes() {
            [_, _, _, b's'] => true,
            [_, _, _, b'p'] => false,
            _ => return None,
        };
        let offset = hex(fields.next()?)?;
        let (major, minor) = fields.next()?.split_once(':')?;
        let number = |digits| u32::try_from(hex(digits)?).ok();
        let device = (number(major)?, number(minor)?);
        let inode = fields.next()?.parse().ok()?;
        let file = (inode != 0 || device != (0, 0)).then_some(MappedFile { device, inode, offset });
        (start < end).then_some(Self { start, end, shared, file })
    }
}

fn hex(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_process_are_decoded() {
        let file = "7fd77bdfe000-7fd77fdfe000 rw-s 00001000 fe:1a 10010715                   /a b";
        let mapping = Mapping::decode(file).unwrap();
        assert_eq!((mapping.start, mapping.end), (0x7fd7_7bdf_e000, 0x7fd7_7fdf_e000));
        assert!(mapping.shared);
        let file = MappedFile { device: (0xfe, 0x1a), inode: 10_010_715, offset: 0x1000 };
        assert_eq!(mapping.file, Some(file));
        let anonymous = "7fd75be00000-7fd763e00000 rw-p 00000000 00:00 0 ";
        let mapping = Mapping::decode(anonymous).unwrap();
        assert_eq!((mapping.shared, mapping.file), (false, None));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "7fd75be00000 rw-p 00000000 00:00 0",
            "7fd75be00000-7fd75be00000 rw-p 00000000 00:00 0",
            "7fd75be00000-7fd763e00000 rw-x 00000000 00:00 0",
            "7fd75be00000-7fd763e00000 rw-p 00000000 0000 0",
            "7fd75be00000-7fd763e00000 rw-p 00000000 00:00",
            "7fd75be00000-7fd763e00000 rw-p zero 00:00 0",
        ] {
            assert_eq!(Mapping::decode(line), None, "{line}");
        }
    }
}
