//! s390x: `NT_PRSTATUS`, the bits of the PSW, and the notes named `LINUX`.
//!
//! ```text
//! 336 bytes, big-endian
//! 32   pr_pid, which QEMU writes in its host's byte order
//! 112  psw mask, psw address         2 x u64
//! 128  gprs 0..15                    16 x u64
//! 256  acrs 0..15                    16 x u32
//!
//! LINUX   0x301 timer u64 | 0x302 todcmp u64 | 0x303 todpreg u32
//!         0x304 ctrs 16 x u64 | 0x305 prefix u32
//!
//! psw mask, from the highest bit on: 1 PER | 5 DAT | 6 IO | 7 EXT | 8..11 key | 13 MCHECK |
//!         14 WAIT | 15 problem state | 16..17 address space | 18..19 CC | 31..32 addressing mode
//! ```
//!
//! Source: QEMU `target/s390x/arch_dump.c` and `cpu.h`; Linux `include/uapi/linux/elf.h`.
//!
//! ```
//! use vmcore_formats::registers::s390x::{linux_note, psw_mask};
//!
//! let flags = psw_mask(0x0002_0001_8000_0000);
//! assert_eq!(flags, ["WAIT", "primary", "64-bit", "key=0", "CC=0", "disabled-wait"]);
//! let prefix = linux_note(0x305, &[0, 2, 0x80, 0])?.unwrap();
//! assert_eq!((prefix[0].name, prefix[0].value), ("prefix", 0x28000));
//! # Ok::<_, vmcore_formats::cursor::ParseError>(())
//! ```

use super::bits::{field, named};
use super::{Field, Layout, Register};
use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;

// pr_pid is not decoded: it has the byte order of QEMU's host.
pub(super) static LAYOUT: Layout = Layout {
    pid: None,
    at: 112,
    fields: &[
        Field::Long(&[
            "pswm", "pswa", "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10",
            "r11", "r12", "r13", "r14", "r15",
        ]),
        Field::Word(&[
            "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13",
            "a14", "a15",
        ]),
    ],
    flags: |name, value| if name == "pswm" { psw_mask(value) } else { Vec::new() },
};

const CONTROL: [&str; 16] = [
    "cr0", "cr1", "cr2", "cr3", "cr4", "cr5", "cr6", "cr7", "cr8", "cr9", "cr10", "cr11", "cr12",
    "cr13", "cr14", "cr15",
];

/// The registers of a note named `LINUX`.
///
/// Returns `Ok(None)` for a note of another type.
///
/// # Errors
/// Fails if the descriptor is too short.
pub fn linux_note(kind: u32, descriptor: &[u8]) -> Result<Option<Vec<Register>>, ParseError> {
    let mut rest = Cursor::new(descriptor, Endian::Big);
    let mut long = |name| rest.u64(name).map(|value| Register::new(name, value, Vec::new()));
    Ok(Some(match kind {
        0x301 => vec![long("timer")?],
        0x302 => vec![long("todcmp")?],
        0x304 => CONTROL.iter().map(|name| long(name)).collect::<Result<_, _>>()?,
        0x303 => vec![word("todpreg", descriptor)?],
        0x305 => vec![word("prefix", descriptor)?],
        _ => return Ok(None),
    }))
}

fn word(name: &'static str, descriptor: &[u8]) -> Result<Register, ParseError> {
    let value = Cursor::new(descriptor, Endian::Big).u32(name)?;
    Ok(Register { name, value: u64::from(value), bytes: 4, flags: Vec::new() })
}

/// The mask half of the PSW.
pub fn psw_mask(value: u64) -> Vec<String> {
    const WAIT: u32 = 49;
    const ENABLED: [u32; 3] = [57, 56, 50];
    let mut flags = named(
        value,
        &[
            (62, "PER"),
            (58, "DAT"),
            (57, "IO"),
            (56, "EXT"),
            (50, "MCHECK"),
            (WAIT, "WAIT"),
            (48, "problem-state"),
        ],
    );
    let space = match field(value, 46, 2) {
        0 => "primary",
        1 => "access-register",
        2 => "secondary",
        _ => "home",
    };
    let mode = match field(value, 31, 2) {
        3 => "64-bit",
        1 => "31-bit",
        0 => "24-bit",
        _ => "addressing-mode-invalid",
    };
    flags.extend([space.to_owned(), mode.to_owned()]);
    flags.push(format!("key={}", field(value, 52, 4)));
    flags.push(format!("CC={}", field(value, 44, 2)));
    // Linux stops for good in this state, and QEMU takes it for a crash.
    if field(value, WAIT, 1) == 1 && ENABLED.iter().all(|bit| field(value, *bit, 1) == 0) {
        flags.push("disabled-wait".to_owned());
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_psw_of_a_running_kernel_and_of_one_that_stopped() {
        let running = psw_mask(0x0704_0001_8000_0000);
        assert_eq!(running, ["DAT", "IO", "EXT", "MCHECK", "primary", "64-bit", "key=0", "CC=0"]);
        let stopped = psw_mask(0x0002_0001_8000_0000);
        assert_eq!(stopped, ["WAIT", "primary", "64-bit", "key=0", "CC=0", "disabled-wait"]);
        let user = psw_mask(0x0705_2000_8000_0000);
        assert!(user.contains(&"problem-state".to_owned()) && user.contains(&"31-bit".to_owned()));
        assert!(user.contains(&"CC=2".to_owned()), "{user:?}");
        assert!(psw_mask(0x0000_c000_0000_0000).contains(&"home".to_owned()));
    }

    #[test]
    fn control_registers_and_the_prefix_have_notes_of_their_own() {
        let descriptor: Vec<u8> = (0..16_u64).flat_map(u64::to_be_bytes).collect();
        let registers = linux_note(0x304, &descriptor).unwrap().unwrap();
        assert_eq!((registers[13].name, registers[13].value), ("cr13", 13));
        let prefix = linux_note(0x305, &[0, 2, 0x80, 0]).unwrap().unwrap();
        assert_eq!((prefix[0].name, prefix[0].value, prefix[0].bytes), ("prefix", 0x28000, 4));
        assert_eq!(linux_note(0x309, &descriptor), Ok(None));
        for (kind, length) in [(0x301, 8), (0x302, 8), (0x303, 4), (0x304, 128), (0x305, 4)] {
            assert!(linux_note(kind, &descriptor[..length]).unwrap().is_some());
            for cut in 0..length {
                assert!(linux_note(kind, &descriptor[..cut]).is_err(), "{kind:#x} cut at {cut}");
            }
        }
    }
}
