use super::*;

fn identity(machine: u16, class: Class, endian: Endian) -> Identity {
    Identity { class, endian, machine, flags: 0, os_abi: 0 }
}

/// Writes numbers where QEMU's C structures have them, each with its place.
struct Descriptor(Vec<u8>, Endian);

impl Descriptor {
    fn new(length: usize, endian: Endian) -> Self {
        Self(vec![0xee; length], endian)
    }

    fn put(mut self, at: usize, value: u64, bytes: usize) -> Self {
        let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
        let number = match self.1 {
            Endian::Little => &little[..bytes],
            Endian::Big => &big[8 - bytes..],
        };
        self.0[at..at + bytes].copy_from_slice(number);
        self
    }
}

/// Decodes, checks some values, and that every cut before the last register fails.
#[track_caller]
fn check(
    descriptor: Descriptor,
    identity: Identity,
    last: usize,
    pid: Option<u32>,
    expected: &[(&str, u64)],
) -> PrStatus {
    let bytes = descriptor.0;
    let status = PrStatus::decode(&bytes, identity).unwrap();
    assert_eq!(status.pid, pid);
    for (name, value) in expected {
        let mut found = status.registers.iter().filter(|register| register.name == *name);
        let (register, more) = (found.next(), found.next());
        assert_eq!(register.map(|register| register.value), Some(*value), "{name}");
        assert_eq!(more, None, "{name} twice");
    }
    assert!(PrStatus::decode(&bytes[..last], identity).is_ok());
    for cut in 0..last {
        let error = PrStatus::decode(&bytes[..cut], identity).unwrap_err();
        assert!(matches!(error, RegistersError::Short(_)), "cut at {cut}: {error}");
    }
    status
}

#[test]
fn x86_64() {
    let descriptor = Descriptor::new(336, Endian::Little)
        .put(32, 2, 4)
        .put(112, 0x15, 8)
        .put(144, 0xb9, 8)
        .put(192, 0xaa, 8)
        .put(240, 0xffff_ffff_8107_c2b4, 8)
        .put(256, 0x246, 8)
        .put(264, 0xffff_c900_0001_3e08, 8)
        .put(288, 0xffff_8880_1f60_0000, 8)
        .put(320, 0x65, 8);
    let expected = [
        ("r15", 0x15),
        ("rbp", 0xb9),
        ("rax", 0xaa),
        ("rip", 0xffff_ffff_8107_c2b4),
        ("rflags", 0x246),
        ("rsp", 0xffff_c900_0001_3e08),
        ("gs_base", 0xffff_8880_1f60_0000),
        ("gs", 0x65),
    ];
    let identity = identity(62, Class::Elf64, Endian::Little);
    let status = check(descriptor, identity, 328, Some(2), &expected);
    assert_eq!(status.registers.len(), 27);
    assert_eq!(status.registers[18].flags, ["PF", "ZF", "IF"]);
}

#[test]
fn i386() {
    let descriptor = Descriptor::new(144, Endian::Little)
        .put(24, 1, 4)
        .put(72, 0xb, 4)
        .put(96, 0xa, 4)
        .put(100, 0x7b, 2)
        .put(112, 0xe0, 2)
        .put(120, 0xc010_0000, 4)
        .put(124, 0x60, 2)
        .put(128, 0x10246, 4)
        .put(132, 0xc1fe_0000, 4)
        .put(136, 0x68, 2);
    let expected = [
        ("ebx", 0xb),
        ("eax", 0xa),
        ("ds", 0x7b),
        ("gs", 0xe0),
        ("eip", 0xc010_0000),
        ("cs", 0x60),
        ("eflags", 0x10246),
        ("esp", 0xc1fe_0000),
        ("ss", 0x68),
    ];
    // QEMU writes the same note into a 64-bit file if the guest has more than 4 GiB.
    for class in [Class::Elf32, Class::Elf64] {
        let descriptor = Descriptor(descriptor.0.clone(), Endian::Little);
        check(descriptor, identity(3, class, Endian::Little), 140, Some(1), &expected);
    }
}

#[test]
fn arm64_in_both_byte_orders() {
    for endian in [Endian::Little, Endian::Big] {
        let descriptor = Descriptor::new(392, endian)
            .put(32, 4, 4)
            .put(112, 0xa0, 8)
            .put(352, 0xa30, 8)
            .put(360, 0xffff_8000_1000_3d00, 8)
            .put(368, 0xffff_8000_1001_0000, 8)
            .put(376, 0x6000_03c5, 8);
        let expected = [
            ("x0", 0xa0),
            ("x30", 0xa30),
            ("sp", 0xffff_8000_1000_3d00),
            ("pc", 0xffff_8000_1001_0000),
            ("pstate", 0x6000_03c5),
        ];
        let status =
            check(descriptor, identity(183, Class::Elf64, endian), 384, Some(4), &expected);
        assert_eq!(status.registers[33].flags, ["EL1h", "Z", "C", "D", "A", "I", "F"]);
    }
}

#[test]
fn arm() {
    let descriptor = Descriptor::new(148, Endian::Little)
        .put(24, 1, 4)
        .put(72, 0xa0, 4)
        .put(124, 0xc100_1f00, 4)
        .put(132, 0xc010_8000, 4)
        .put(136, 0x6000_0093, 4);
    let expected = [("r0", 0xa0), ("sp", 0xc100_1f00), ("pc", 0xc010_8000), ("cpsr", 0x6000_0093)];
    check(descriptor, identity(40, Class::Elf32, Endian::Little), 140, Some(1), &expected);
}

#[test]
fn s390x() {
    let descriptor = Descriptor::new(336, Endian::Big)
        .put(112, 0x0002_0001_8000_0000, 8)
        .put(120, 0x1234, 8)
        .put(128, 0xa0, 8)
        .put(248, 0xaf, 8)
        .put(256, 0x3ff, 4)
        .put(316, 0xacf, 4);
    let expected = [
        ("pswm", 0x0002_0001_8000_0000),
        ("pswa", 0x1234),
        ("r0", 0xa0),
        ("r15", 0xaf),
        ("a0", 0x3ff),
        ("a15", 0xacf),
    ];
    let status = check(descriptor, identity(22, Class::Elf64, Endian::Big), 320, None, &expected);
    assert!(status.registers[0].flags.contains(&"disabled-wait".to_owned()));
}

#[test]
fn ppc64_in_both_byte_orders() {
    for endian in [Endian::Little, Endian::Big] {
        let descriptor = Descriptor::new(504, endian)
            .put(112, 0xa0, 8)
            .put(360, 0xa31, 8)
            .put(368, 0xc000_0000_0001_0000, 8)
            .put(376, 0x8000_0000_0000_9033, 8)
            .put(392, 0xc7, 8)
            .put(400, 0x17, 8)
            .put(408, 0x2000_0000, 8)
            .put(416, 0x4800_2222, 8)
            .put(456, 0, 8);
        let expected = [
            ("r0", 0xa0),
            ("r31", 0xa31),
            ("nip", 0xc000_0000_0001_0000),
            ("msr", 0x8000_0000_0000_9033),
            ("ctr", 0xc7),
            ("lr", 0x17),
            ("xer", 0x2000_0000),
            ("ccr", 0x4800_2222),
            ("result", 0),
        ];
        check(descriptor, identity(21, Class::Elf64, endian), 464, None, &expected);
    }
}

#[test]
fn riscv64() {
    let descriptor = Descriptor::new(376, Endian::Little)
        .put(32, 1, 4)
        .put(112, 0xffff_ffff_8000_1000, 8)
        .put(120, 1, 8)
        .put(128, 2, 8)
        .put(360, 31, 8);
    let expected = [("pc", 0xffff_ffff_8000_1000), ("ra", 1), ("sp", 2), ("t6", 31)];
    let status =
        check(descriptor, identity(243, Class::Elf64, Endian::Little), 368, Some(1), &expected);
    assert_eq!(status.registers.len(), 32);
}

#[test]
fn loongarch64() {
    let descriptor = Descriptor::new(480, Endian::Little)
        .put(32, 1, 4)
        .put(112, 0, 8)
        .put(360, 31, 8)
        .put(376, 0x9000_0000_0020_0000, 8)
        .put(384, 0xbad, 8);
    let expected = [("r31", 31), ("era", 0x9000_0000_0020_0000), ("badv", 0xbad)];
    check(descriptor, identity(258, Class::Elf64, Endian::Little), 392, Some(1), &expected);
}

#[test]
fn another_machine_is_said_to_be_unknown() {
    let error = PrStatus::decode(&[0; 400], identity(8, Class::Elf32, Endian::Big)).unwrap_err();
    assert_eq!(error.to_string(), "the layout of registers is unknown for ELF machine 8 (Elf32)");
}
