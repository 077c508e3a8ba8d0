//! The names of vCPU notes that are not decoded.
//!
//! ```
//! use vmcore_formats::registers::other::note_name;
//!
//! assert_eq!(note_name(b"LINUX", 0x202), Some("X86_XSTATE"));
//! assert_eq!(note_name(b"LINUX", 0x999), None);
//! ```

/// The content of a vCPU's note, by its name and type, for example `FPREGSET`.
///
/// Returns `None` for an unknown note.
pub fn note_name(name: &[u8], kind: u32) -> Option<&'static str> {
    Some(match (name, kind) {
        (b"CORE", 2) => "FPREGSET",
        // QEMU names these `CORE`, and the kernel `LINUX`.
        (b"CORE" | b"LINUX", 0x100) => "PPC_VMX",
        (b"CORE" | b"LINUX", 0x101) => "PPC_SPE",
        (b"CORE" | b"LINUX", 0x102) => "PPC_VSX",
        (b"LINUX", 0x200) => "386_TLS",
        (b"LINUX", 0x202) => "X86_XSTATE",
        (b"LINUX", 0x309) => "S390_VXRS_LOW",
        (b"LINUX", 0x30a) => "S390_VXRS_HIGH",
        (b"LINUX", 0x30b) => "S390_GS_CB",
        (b"LINUX", 0x30e) => "S390_PV_CPU_DATA",
        (b"LINUX", 0x400) => "ARM_VFP",
        (b"LINUX", 0x401) => "ARM_TLS",
        (b"LINUX", 0x405) => "ARM_SVE",
        (b"LINUX", 0x406) => "ARM_PAC_MASK",
        _ => return None,
    })
}
