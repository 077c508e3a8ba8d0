//! Registers, for people and as JSON.
//!
//! ```text
//! vCPU 0  kernel mode
//!   rip    ffffffff8107c2b4  rflags 0000000000000246  PF ZF IF
//!   rax    0000000000000000  rbx    ffffffff82a1d2a0  rcx    0000000000000001
//!   cs     0010  base 0000000000000000  limit ffffffff  flags 00af9b00  code64 DPL=0
//!   cr3    0000000002610000  table=0x2610000
//! ```

use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use vmcore_formats::registers::Register;
use vmcore_formats::registers::x86::Segment;

use super::table::{Side, padded};
use crate::printable::shown;
use crate::vmcore::registers::Vcpu;

/// The schema of registers as JSON.
pub const SCHEMA: &str = "vmcorectl/registers/1";
/// How many registers are on a line.
const COLUMNS: usize = 3;

/// Prints vCPUs and the findings about the notes.
pub fn text(cpus: &[&Vcpu], findings: &[String], out: &mut dyn Write) -> io::Result<()> {
    for (index, cpu) in cpus.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        one(cpu, out)?;
    }
    for finding in findings {
        writeln!(out, "finding  {}", shown(finding))?;
    }
    Ok(())
}

fn one(cpu: &Vcpu, out: &mut dyn Write) -> io::Result<()> {
    let mode = match cpu.privilege {
        Some(0) => "  kernel mode (CPL 0)".to_owned(),
        Some(3) => "  user mode (CPL 3)".to_owned(),
        Some(level) => format!("  CPL {level}"),
        None => String::new(),
    };
    writeln!(out, "vCPU {}{mode}", cpu.number)?;
    let segments = cpu.segments.iter().map(|segment| segment.name.len());
    let names = cpu.general.iter().map(|register| register.name.len());
    let width = names.chain(segments).max().unwrap_or_default();
    grid(&cpu.general, width, out)?;
    for segment in &cpu.segments {
        line(segment, width, out)?;
    }
    grid(&cpu.control, width, out)?;
    if !cpu.others.is_empty() {
        let others: Vec<_> =
            cpu.others.iter().map(|(name, length)| format!("{name} ({length} bytes)")).collect();
        writeln!(out, "  not decoded: {}", others.join(", "))?;
    }
    for finding in &cpu.findings {
        writeln!(out, "  finding  {}", shown(finding))?;
    }
    Ok(())
}

/// Prints a segment register, or a table, which has neither selector nor flags.
fn line(segment: &Segment, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let Segment { name, register, flags } = segment;
    let name = padded(name, width, Side::Left);
    let (base, limit) = (register.base, register.limit);
    if flags.is_empty() {
        return writeln!(out, "  {name}       base {base:016x}  limit {limit:08x}");
    }
    let (selector, raw) = (register.selector, register.flags);
    let flags = flags.join(" ");
    writeln!(
        out,
        "  {name} {selector:04x}  base {base:016x}  limit {limit:08x}  flags {raw:08x}  {flags}"
    )
}

/// Prints registers side by side; after one with flags the line is full.
fn grid(registers: &[Register], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut column = 0_usize;
    for register in registers {
        let digits = usize::from(register.bytes).saturating_mul(2);
        let name = padded(register.name, width, Side::Left);
        write!(out, "  {name} {:0digits$x}", register.value)?;
        column = column.saturating_add(1);
        if !register.flags.is_empty() {
            write!(out, "  {}", register.flags.join(" "))?;
            column = COLUMNS;
        }
        if column >= COLUMNS {
            writeln!(out)?;
            column = 0;
        }
    }
    if column > 0 {
        writeln!(out)?;
    }
    Ok(())
}

/// Registers as JSON. Values are strings in hexadecimal: not every JSON parser keeps 64 bits.
#[derive(Debug, Serialize)]
pub struct RegistersJson<'a> {
    schema: &'static str,
    machine: Option<&'static str>,
    cpus: Vec<Cpu<'a>>,
    findings: &'a [String],
}

impl<'a> RegistersJson<'a> {
    /// The registers of these vCPUs.
    pub fn new(machine: Option<&'static str>, cpus: &[&'a Vcpu], findings: &'a [String]) -> Self {
        let cpus = cpus.iter().map(|cpu| Cpu::new(cpu)).collect();
        Self { schema: SCHEMA, machine, cpus, findings }
    }
}

#[derive(Debug, Serialize)]
struct Cpu<'a> {
    cpu: usize,
    pr_pid: Option<u32>,
    privilege: Option<u8>,
    registers: Values<'a>,
    segments: Segments<'a>,
    control: Values<'a>,
    decoded: Flags<'a>,
    not_decoded: Vec<&'static str>,
    findings: &'a [String],
}

impl<'a> Cpu<'a> {
    fn new(cpu: &'a Vcpu) -> Self {
        Self {
            cpu: cpu.number,
            pr_pid: cpu.pid,
            privilege: cpu.privilege,
            registers: Values(&cpu.general),
            segments: Segments(&cpu.segments),
            control: Values(&cpu.control),
            decoded: Flags(cpu),
            not_decoded: cpu.others.iter().map(|(name, _)| *name).collect(),
            findings: &cpu.findings,
        }
    }
}

/// Values by name.
#[derive(Debug)]
struct Values<'a>(&'a [Register]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.0.iter();
        serializer.collect_map(values.map(|one| (one.name, format!("{:#x}", one.value))))
    }
}

/// Flags by the name of their register.
#[derive(Debug)]
struct Flags<'a>(&'a Vcpu);

impl Serialize for Flags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let registers = self.0.general.iter().chain(&self.0.control);
        let with_flags = registers.filter(|register| !register.flags.is_empty());
        serializer.collect_map(with_flags.map(|register| (register.name, &register.flags)))
    }
}

/// Segment registers by name.
#[derive(Debug)]
struct Segments<'a>(&'a [Segment]);

impl Serialize for Segments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a> {
            selector: String,
            base: String,
            limit: String,
            flags: String,
            decoded: &'a [String],
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for Segment { name, register, flags } in self.0 {
            let one = One {
                selector: format!("{:#x}", register.selector),
                base: format!("{:#x}", register.base),
                limit: format!("{:#x}", register.limit),
                flags: format!("{:#x}", register.flags),
                decoded: flags,
            };
            map.serialize_entry(name, &one)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(name: &'static str, value: u64, bytes: u8, flags: &[&str]) -> Register {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Register { name, value, bytes, flags }
    }

    #[test]
    fn registers_stand_in_columns_and_flags_end_a_line() {
        let general = vec![
            register("rip", 0x10, 8, &[]),
            register("rflags", 2, 8, &["ZF", "IF"]),
            register("eax", 1, 4, &[]),
            register("ebx", 2, 4, &[]),
            register("ecx", 3, 4, &[]),
            register("ds", 0x7b, 2, &[]),
        ];
        let cpu = Vcpu {
            number: 1,
            general,
            others: vec![("FPREGSET", 512)],
            findings: vec!["it is \x1b[31mred".to_owned()],
            ..Vcpu::default()
        };
        let mut out = Vec::new();
        text(&[&cpu], &["the whole".to_owned()], &mut out).unwrap();
        let expected = "vCPU 1
  rip    0000000000000010  rflags 0000000000000002  ZF IF
  eax    00000001  ebx    00000002  ecx    00000003
  ds     007b
  not decoded: FPREGSET (512 bytes)
  finding  it is \u{fffd}[31mred
finding  the whole
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn as_json_values_are_strings() {
        let cpu =
            Vcpu { general: vec![register("rflags", u64::MAX, 8, &["ZF"])], ..Vcpu::default() };
        let json = serde_json::to_value(RegistersJson::new(Some("x86_64"), &[&cpu], &[])).unwrap();
        assert_eq!(json["cpus"][0]["registers"]["rflags"], "0xffffffffffffffff");
        assert_eq!(json["cpus"][0]["decoded"]["rflags"][0], "ZF");
        assert_eq!(json["schema"], SCHEMA);
    }
}
