//! Structures of the kernel as JSON.
//!
//! Members of anonymous structures are among those of their parent. Numbers that a double does
//! not hold, and all addresses, are hexadecimal strings. What is no plain value is an object with
//! one of the keys `pointer`, `enum`, `elements`, `unreadable` and `left_out`.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::json::hex_if_known;
use crate::kernel::print::{Elements, LayoutMember, MemberValue, Printed, PrintedObject, Value};

/// The schema of [`PrintJson`].
pub const SCHEMA: &str = "vmcorectl/print/1";
/// The largest number that every JSON parser keeps.
const MAX_NUMBER: u64 = 1 << 53;

/// What is printed as JSON.
#[derive(Debug, Serialize)]
pub struct PrintJson<'p> {
    schema: &'static str,
    #[serde(rename = "type")]
    type_name: &'p str,
    size: Option<u64>,
    module: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<LayoutJson<'p>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    objects: Vec<ObjectJson<'p>>,
    left_out: u64,
    findings: &'p [String],
}

#[derive(Debug, Serialize)]
struct LayoutJson<'p> {
    alias_of: Option<&'p str>,
    members: Vec<LayoutMemberJson<'p>>,
    values: Values<'p>,
}

#[derive(Debug, Serialize)]
struct LayoutMemberJson<'p> {
    name: &'p str,
    declaration: &'p str,
    bit_offset: u64,
    bits: Option<u32>,
    size: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<Self>,
}

#[derive(Debug)]
struct Values<'p>(&'p [(String, i64)]);

#[derive(Debug, Serialize)]
struct ObjectJson<'p> {
    #[serde(serialize_with = "hex_if_known")]
    address: Option<u64>,
    symbol: Option<&'p str>,
    cpu: Option<u32>,
    value: ValueJson<'p>,
}

#[derive(Debug)]
struct ValueJson<'p>(&'p Value);

impl<'p> PrintJson<'p> {
    /// What was found, as it is written.
    pub fn new(printed: &'p Printed) -> Self {
        let layout = printed.layout.as_ref().map(|layout| LayoutJson {
            alias_of: layout.alias_of.as_deref(),
            members: layout.members.iter().map(layout_member).collect(),
            values: Values(&layout.values),
        });
        Self {
            schema: SCHEMA,
            type_name: &printed.type_name,
            size: printed.size,
            module: printed.module.as_deref(),
            layout,
            objects: printed.objects.iter().map(object).collect(),
            left_out: printed.left_out,
            findings: &printed.findings,
        }
    }
}

fn layout_member(member: &LayoutMember) -> LayoutMemberJson<'_> {
    LayoutMemberJson {
        name: &member.name,
        declaration: &member.declaration,
        bit_offset: member.bit,
        bits: Some(member.bits).filter(|bits| *bits > 0),
        size: member.size,
        members: member.members.iter().map(layout_member).collect(),
    }
}

fn object(object: &PrintedObject) -> ObjectJson<'_> {
    ObjectJson {
        address: object.address,
        symbol: object.symbol.as_deref(),
        cpu: object.cpu,
        value: ValueJson(&object.value),
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Unsigned(number) if *number > MAX_NUMBER => {
                out.collect_str(&format_args!("{number:#x}"))
            }
            Value::Unsigned(number) => out.serialize_u64(*number),
            Value::Signed(number) if number.unsigned_abs() > MAX_NUMBER => {
                let sign = if *number < 0 { "-" } else { "" };
                out.collect_str(&format_args!("{sign}{:#x}", number.unsigned_abs()))
            }
            Value::Signed(number) => out.serialize_i64(*number),
            Value::Bool(truth) => out.serialize_bool(*truth),
            Value::Float(bits) => out.serialize_f64(f64::from_bits(*bits)),
            Value::Enum { value, name } => {
                let mut map = out.serialize_map(Some(2))?;
                map.serialize_entry("enum", name)?;
                map.serialize_entry("number", value)?;
                map.end()
            }
            Value::Pointer { to, symbol, text } => {
                let mut map = out.serialize_map(None)?;
                map.serialize_entry("pointer", &format!("{to:#x}"))?;
                if let Some(symbol) = symbol {
                    map.serialize_entry("symbol", symbol)?;
                }
                if let Some(text) = text {
                    map.serialize_entry("text", &text.text)?;
                }
                map.end()
            }
            Value::Text(text) if text.is_cut => {
                let mut map = out.serialize_map(Some(2))?;
                map.serialize_entry("text", &text.text)?;
                map.serialize_entry("left_out", &true)?;
                map.end()
            }
            Value::Text(text) => out.serialize_str(&text.text),
            Value::Members(members) => {
                let mut map = out.serialize_map(None)?;
                entries::<S>(members, &mut map)?;
                map.end()
            }
            Value::Elements(elements) => self::elements(elements, out),
            Value::Bytes(digits) => out.collect_str(&format_args!("0x{digits}")),
            Value::Unreadable(why) => single("unreadable", why, out),
            Value::LeftOut(why) => single("left_out", why, out),
        }
    }
}

/// Members, with those of anonymous structures among them.
fn entries<S: Serializer>(
    members: &[MemberValue],
    map: &mut S::SerializeMap,
) -> Result<(), S::Error> {
    for member in members {
        match &member.value {
            Value::Members(inner) if member.name.is_empty() => entries::<S>(inner, map)?,
            value => map.serialize_entry(&member.name, &ValueJson(value))?,
        }
    }
    Ok(())
}

fn elements<S: Serializer>(elements: &Elements, out: S) -> Result<S::Ok, S::Error> {
    if elements.left_out > 0 {
        let mut map = out.serialize_map(Some(2))?;
        map.serialize_entry("elements", &Sequence(&elements.shown))?;
        map.serialize_entry("left_out", &elements.left_out)?;
        return map.end();
    }
    Sequence(&elements.shown).serialize(out)
}

struct Sequence<'p>(&'p [(Value, u64)]);

impl Serialize for Sequence<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut sequence = out.serialize_seq(None)?;
        for (value, times) in self.0 {
            for _ in 0..*times {
                sequence.serialize_element(&ValueJson(value))?;
            }
        }
        sequence.end()
    }
}

fn single<S: Serializer>(key: &'static str, value: &str, out: S) -> Result<S::Ok, S::Error> {
    let mut map = out.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}
