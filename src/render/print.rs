//! Structures of the kernel, as C initialises them.
//!
//! ```text
//! struct list_head at 0xffffffff82a1b940 <modules> = {
//!   next = 0xffffffffc03e9008 <__this_module+0x8 [pvpanic_pci]>,
//!   prev = 0xffffffffc0395308 <__this_module+0x8 [qemu_fw_cfg]>
//! }
//! ```
//!
//! Layouts are printed as C declares them, each member with its offset.

use std::io::{self, Write};

use crate::kernel::print::{
    Elements, Layout, LayoutMember, MemberValue, Printed, PrintedObject, Text, Value,
};
use crate::printable::{is_printable, shown};

/// From here on, numbers are printed as hexadecimal digits.
const MASK: u64 = 1 << 53;
/// What a level of nesting is indented by.
const STEP: &str = "  ";

/// Prints objects, or a layout.
pub fn text(printed: &Printed, out: &mut dyn Write) -> io::Result<()> {
    if let Some(layout) = &printed.layout {
        return self::layout(printed, layout, out);
    }
    for object in &printed.objects {
        self::object(printed, object, out)?;
    }
    match printed.left_out {
        0 => Ok(()),
        more => writeln!(out, "... {more} more; --elements N prints N"),
    }
}

fn object(printed: &Printed, object: &PrintedObject, out: &mut dyn Write) -> io::Result<()> {
    if let Some(cpu) = object.cpu {
        write!(out, "CPU {cpu}: ")?;
    }
    write!(out, "{}", shown(&printed.type_name))?;
    if let Some(at) = object.address {
        write!(out, " at {at:#x}")?;
    }
    if let Some(symbol) = &object.symbol {
        write!(out, " <{}>", shown(symbol))?;
    }
    write!(out, " = ")?;
    value(&object.value, "", out)?;
    writeln!(out)
}

fn value(value: &Value, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    match value {
        // Such a number is an address or a mask.
        Value::Unsigned(number @ MASK..) => write!(out, "{number:#x}"),
        Value::Unsigned(number) => write!(out, "{number}"),
        Value::Signed(number) => write!(out, "{number}"),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Float(bits) => write!(out, "{}", f64::from_bits(*bits)),
        Value::Enum { value, name: Some(name) } => write!(out, "{} ({value})", shown(name)),
        Value::Enum { value, name: None } => write!(out, "{value}"),
        Value::Pointer { to, symbol, text } => {
            write!(out, "{to:#x}")?;
            if let Some(symbol) = symbol {
                write!(out, " <{}>", shown(symbol))?;
            }
            match text {
                Some(text) => {
                    write!(out, " ")?;
                    quoted(text, out)
                }
                None => Ok(()),
            }
        }
        Value::Text(text) => quoted(text, out),
        Value::Members(members) => self::members(members, indent, out),
        Value::Elements(elements) => self::elements(elements, indent, out),
        Value::Bytes(digits) => write!(out, "0x{}", shown(digits)),
        Value::Unreadable(why) | Value::LeftOut(why) => write!(out, "<{}>", shown(why)),
    }
}

fn members(members: &[MemberValue], indent: &str, out: &mut dyn Write) -> io::Result<()> {
    if members.is_empty() {
        return write!(out, "{{}}");
    }
    let inner = format!("{indent}{STEP}");
    writeln!(out, "{{")?;
    for (number, member) in members.iter().enumerate() {
        write!(out, "{inner}")?;
        if !member.name.is_empty() {
            write!(out, "{} = ", shown(&member.name))?;
        }
        value(&member.value, &inner, out)?;
        let is_last = number.saturating_add(1) == members.len();
        writeln!(out, "{}", if is_last { "" } else { "," })?;
    }
    write!(out, "{indent}}}")
}

fn elements(elements: &Elements, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let is_plain = |value: &Value| !matches!(value, Value::Members(_) | Value::Elements(_));
    let on_one_line = elements.shown.iter().all(|(value, _)| is_plain(value));
    let inner = format!("{indent}{STEP}");
    let (before, between) = match on_one_line {
        true => (String::new(), ", ".to_owned()),
        false => (format!("\n{inner}"), format!(",\n{inner}")),
    };
    write!(out, "{{{before}")?;
    for (number, (value, times)) in elements.shown.iter().enumerate() {
        if number > 0 {
            write!(out, "{between}")?;
        }
        self::value(value, &inner, out)?;
        if *times > 1 {
            write!(out, " <{times} times>")?;
        }
    }
    if elements.left_out > 0 {
        let separator = if elements.shown.is_empty() { "" } else { &between };
        write!(out, "{separator}... {} more", elements.left_out)?;
    }
    if on_one_line { write!(out, "}}") } else { write!(out, "\n{indent}}}") }
}

/// A text in quotes; what is not printed, as C writes it.
fn quoted(text: &Text, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "\"")?;
    for c in text.text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            '\n' => write!(out, "\\n")?,
            '\t' => write!(out, "\\t")?,
            c if is_printable(c) => write!(out, "{c}")?,
            c if u32::from(c) < 256 => write!(out, "\\{:03o}", u32::from(c))?,
            c => write!(out, "\\u{:04x}", u32::from(c))?,
        }
    }
    write!(out, "\"{}", if text.is_cut { "..." } else { "" })
}

fn layout(printed: &Printed, layout: &Layout, out: &mut dyn Write) -> io::Result<()> {
    let name = shown(&printed.type_name);
    match &layout.alias_of {
        Some(other) => write!(out, "typedef {} {name}", shown(other))?,
        None => write!(out, "{name}")?,
    }
    if !layout.members.is_empty() {
        writeln!(out, " {{")?;
        for member in &layout.members {
            layout_member(member, STEP, out)?;
        }
        write!(out, "}}")?;
    }
    if !layout.values.is_empty() {
        writeln!(out, " {{")?;
        for (name, value) in &layout.values {
            writeln!(out, "{STEP}{} = {value},", shown(name))?;
        }
        write!(out, "}}")?;
    }
    write!(out, ";")?;
    if let Some(size) = printed.size {
        write!(out, " /* {size} bytes */")?;
    }
    match &printed.module {
        Some(module) => writeln!(out, " /* of module {} */", shown(module)),
        None => writeln!(out),
    }
}

fn layout_member(member: &LayoutMember, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let (byte, bit) = (member.bit / 8, member.bit % 8);
    let place = match member.bits {
        0 => format!("[{byte}]"),
        _ => format!("[{byte}:{bit}]"),
    };
    if member.members.is_empty() {
        return writeln!(out, "{place:>8} {indent}{};", shown(&member.declaration));
    }
    let keyword = member.declaration.split(' ').next().unwrap_or_default();
    writeln!(out, "{place:>8} {indent}{keyword} {{")?;
    let inner = format!("{indent}{STEP}");
    for member in &member.members {
        layout_member(member, &inner, out)?;
    }
    writeln!(out, "{:>8} {indent}}};", "")
}
