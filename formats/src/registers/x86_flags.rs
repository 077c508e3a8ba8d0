//! The names of the bits of x86 registers.
//!
//! ```text
//! segment flags, as in the second word of the descriptor:
//!   23 G | 22 D/B | 21 L | 20 AVL | 15 P | 14..13 DPL | 12 S | 11..8 type
//! cr3: 62 LAM_U48 | 61 LAM_U57 | 51..12 page table | 11..0 PCID, or 4 PCD, 3 PWT
//! ```
//!
//! Source: Intel's Software Developer's Manual, volume 3, chapters 2 and 3.
//!
//! ```
//! use vmcore_formats::registers::x86_flags::{cr0, segment};
//!
//! assert_eq!(cr0(0x8005_0033), ["PE", "MP", "ET", "NE", "WP", "AM", "PG"]);
//! assert_eq!(segment(0x00af_9b00), ["code64", "DPL=0"]);
//! ```

use super::bits::{field, named};

/// RFLAGS, with IOPL if it is not 0.
pub fn rflags(value: u64) -> Vec<String> {
    let mut flags = named(
        value,
        &[
            (0, "CF"),
            (2, "PF"),
            (4, "AF"),
            (6, "ZF"),
            (7, "SF"),
            (8, "TF"),
            (9, "IF"),
            (10, "DF"),
            (11, "OF"),
            (14, "NT"),
            (16, "RF"),
            (17, "VM"),
            (18, "AC"),
            (19, "VIF"),
            (20, "VIP"),
            (21, "ID"),
        ],
    );
    let level = field(value, 12, 2);
    if level > 0 {
        flags.push(format!("IOPL={level}"));
    }
    flags
}

/// CR0.
pub fn cr0(value: u64) -> Vec<String> {
    named(
        value,
        &[
            (0, "PE"),
            (1, "MP"),
            (2, "EM"),
            (3, "TS"),
            (4, "ET"),
            (5, "NE"),
            (16, "WP"),
            (18, "AM"),
            (29, "NW"),
            (30, "CD"),
            (31, "PG"),
        ],
    )
}

/// CR3: the address of the page table, and flags, some of which depend on CR4.
pub fn cr3(value: u64, cr4: u64) -> Vec<String> {
    const PCIDE: u32 = 17;
    let mut flags = vec![format!("table={:#x}", value & 0x000f_ffff_ffff_f000)];
    if field(cr4, PCIDE, 1) == 1 {
        flags.push(format!("PCID={}", field(value, 0, 12)));
    } else {
        flags.extend(named(value, &[(3, "PWT"), (4, "PCD")]));
    }
    flags.extend(named(value, &[(61, "LAM_U57"), (62, "LAM_U48")]));
    flags
}

/// CR4.
pub fn cr4(value: u64) -> Vec<String> {
    named(
        value,
        &[
            (0, "VME"),
            (1, "PVI"),
            (2, "TSD"),
            (3, "DE"),
            (4, "PSE"),
            (5, "PAE"),
            (6, "MCE"),
            (7, "PGE"),
            (8, "PCE"),
            (9, "OSFXSR"),
            (10, "OSXMMEXCPT"),
            (11, "UMIP"),
            (12, "LA57"),
            (13, "VMXE"),
            (14, "SMXE"),
            (16, "FSGSBASE"),
            (17, "PCIDE"),
            (18, "OSXSAVE"),
            (19, "KL"),
            (20, "SMEP"),
            (21, "SMAP"),
            (22, "PKE"),
            (23, "CET"),
            (24, "PKS"),
            (25, "UINTR"),
            (28, "LAM_SUP"),
            (32, "FRED"),
        ],
    )
}

/// The flags of a segment: its kind and privilege level.
pub fn segment(flags: u32) -> Vec<String> {
    let bits = |low, width| field(u64::from(flags), low, width);
    if bits(15, 1) == 0 {
        return vec!["not-present".to_owned()];
    }
    let kind = match (bits(12, 1), bits(11, 1), bits(8, 4)) {
        (1, 1, _) => match (bits(21, 1), bits(22, 1)) {
            (1, _) => "code64",
            (_, 1) => "code32",
            _ => "code16",
        },
        (1, _, _) if bits(9, 1) == 1 => "data",
        (1, _, _) => "data-read-only",
        (_, _, 2) => "LDT",
        (_, _, 1) => "TSS16",
        (_, _, 3) => "TSS16-busy",
        (_, _, 9) => "TSS",
        (_, _, 11) => "TSS-busy",
        _ => "system",
    };
    vec![kind.to_owned(), format!("DPL={}", bits(13, 2))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_named_as_the_manual_names_them() {
        assert_eq!(rflags(0x0000_0000_0021_3246), ["PF", "ZF", "IF", "RF", "ID", "IOPL=3"]);
        assert_eq!(cr0(0x8005_0033), ["PE", "MP", "ET", "NE", "WP", "AM", "PG"]);
        assert_eq!(cr4(0x20), ["PAE"]);
        assert_eq!(cr4(1 << 12 | 1 << 32), ["LA57", "FRED"]);
    }

    #[test]
    fn the_low_bits_of_cr3_depend_on_cr4() {
        assert_eq!(cr3(0x2610_000a, 0x20), ["table=0x26100000", "PWT"]);
        assert_eq!(cr3(0x2610_000a, 1 << 17), ["table=0x26100000", "PCID=10"]);
    }

    #[test]
    fn segments_have_kinds_and_levels() {
        for (flags, kind) in [
            (0x00af_9b00, &["code64", "DPL=0"][..]),
            (0x00cf_fb00, &["code32", "DPL=3"]),
            (0x0000_9b00, &["code16", "DPL=0"]),
            (0x00cf_9300, &["data", "DPL=0"]),
            (0x00cf_9100, &["data-read-only", "DPL=0"]),
            (0x0000_8b00, &["TSS-busy", "DPL=0"]),
            (0x0000_8200, &["LDT", "DPL=0"]),
            (0, &["not-present"]),
        ] {
            assert_eq!(segment(flags), kind, "{flags:#x}");
        }
    }
}
