//! Reads what is at an address as a value of a type.
//!
//! Needs: a type, and where it is. Gives: a [`Value`], whole or with parts that say why they are
//! not there. A structure is read at once; where that fails, each member by itself.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::btf::{Kind, Type};

use super::types::{CType, Lookup, Shape, shown};
use super::value::{Elements, MemberValue, Text, Value};
use crate::kernel::Kernel;
use crate::kernel::symbolised_address::CodeAddress;

/// The longest object that is read at once; of longer ones each part by itself.
const MAX_WHOLE: u64 = 64 << 10;
/// The most elements of an array that are looked at, equal ones included.
const MAX_EXAMINED: u64 = 1 << 14;
/// How long an answer may become, about, in bytes of JSON.
const MAX_ANSWER: usize = 12 << 20;
/// What a value takes of that, beside its texts.
const VALUE: usize = 40;
/// The most reads of memory for one answer, and the most values, equal ones included.
const MAX_READS: u32 = 1 << 18;
const MAX_VALUES: u32 = 1 << 20;
/// How many characters of a text are printed at least.
const MIN_CHARACTERS: usize = 200;
/// How far from the kernel's image its modules are at most.
const NEAR_IMAGE: u64 = 2 << 30;
/// The most structures inside of each other, whatever is asked for.
const MAX_DEPTH: usize = 64;
/// A page: texts are read no further than they go.
const PAGE: u64 = 4096;

/// A value's place: its address, and its bytes if they were read already.
#[derive(Clone, Copy)]
struct At<'b> {
    address: VirtAddr,
    bytes: Option<&'b [u8]>,
}

impl<'b> At<'b> {
    fn part(self, offset: u64, size: u64) -> Self {
        let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
        let part = |bytes: &'b [u8]| {
            let (start, size) = range?;
            bytes.get(start..start.checked_add(size)?)
        };
        Self { address: self.address.wrapping_add(offset), bytes: self.bytes.and_then(part) }
    }
}

/// Reads the values of one answer.
pub(super) struct Reader<'k, 'l> {
    kernel: &'k Kernel,
    lookup: &'l Lookup<'k>,
    elements: usize,
    characters: usize,
    left: usize,
    reads: u32,
    values: u32,
    image: Option<VirtAddr>,
}

impl<'k, 'l> Reader<'k, 'l> {
    pub(super) fn new(lookup: &'l Lookup<'k>, elements: usize) -> Self {
        let kernel = lookup.kernel;
        let image = kernel.symbol("_text").or_else(|| kernel.symbol("_stext"));
        let (left, reads, values) = (MAX_ANSWER, MAX_READS, MAX_VALUES);
        let characters = elements.max(MIN_CHARACTERS);
        Self { kernel, lookup, elements, characters, left, reads, values, image }
    }

    /// The value at an address.
    pub(super) fn value(&mut self, of: &CType, address: VirtAddr, depth: usize) -> Value {
        self.at(of, At { address, bytes: None }, depth.min(MAX_DEPTH))
    }

    /// A bit field: `bits` wide, and `bit` bits behind the address.
    pub(super) fn bit_field(
        &mut self,
        of: &CType,
        address: VirtAddr,
        bit: u64,
        bits: u32,
    ) -> Value {
        let (skip, bit) = (bit / 8, u32::try_from(bit % 8).unwrap_or_default());
        let size = u64::from(bit.saturating_add(bits).div_ceil(8));
        let at = At { address: address.wrapping_add(skip), bytes: None };
        match self.number(at, size) {
            Ok(number) => self.scalar_of_bits(of, number.wrapping_shr(bit), bits),
            Err(unreadable) => unreadable,
        }
    }

    /// The symbol that an address is in.
    pub(super) fn symbol(&self, at: u64) -> Option<String> {
        // No symbol is further away, and to look for one takes the list of modules.
        self.image.filter(|image| image.0.abs_diff(at) < NEAR_IMAGE)?;
        let symbol = self.kernel.resolve(CodeAddress::Instruction(VirtAddr(at)))?;
        let offset = match symbol.offset {
            0 => String::new(),
            offset => format!("+{offset:#x}"),
        };
        let module = symbol.module.map(|module| format!(" [{module}]")).unwrap_or_default();
        Some(format!("{}{offset}{module}", symbol.name))
    }

    fn is_full(&self) -> bool {
        self.left < VALUE || self.values == 0
    }

    fn at(&mut self, of: &CType, at: At<'_>, depth: usize) -> Value {
        if self.is_full() {
            return Value::LeftOut("the answer is long enough".to_owned());
        }
        self.left = self.left.saturating_sub(VALUE);
        self.values = self.values.saturating_sub(1);
        match of.shape() {
            Shape::Pointer(to) => self.pointer(&to, at),
            Shape::Array { element, count } => self.array(&element, count, at, depth),
            Shape::Void => Value::LeftOut("it has no type".to_owned()),
            Shape::Plain(found) => self.plain(of, found, at, depth),
        }
    }

    fn plain(&mut self, of: &CType, found: Type<'_>, at: At<'_>, depth: usize) -> Value {
        match found.kind {
            Kind::Struct | Kind::Union => self.members(of, found, at, depth),
            Kind::Int | Kind::Enum | Kind::Enum64 => {
                let size = u64::from(found.size_or_type);
                if !(1..=8).contains(&size) {
                    return self.bytes(at, size);
                }
                match self.number(at, size) {
                    Ok(number) => {
                        let bits = u32::try_from(size.saturating_mul(8)).unwrap_or(64);
                        self.scalar_of_bits(of, number, bits)
                    }
                    Err(unreadable) => unreadable,
                }
            }
            Kind::Float => self.float(at, found.size_or_type.into()),
            Kind::Fwd => match self.lookup.complete(of) {
                Some(complete) => self.at(&complete, at, depth),
                None => Value::LeftOut("its type is declared only".to_owned()),
            },
            _ => Value::LeftOut("a function has no value".to_owned()),
        }
    }

    fn members(&mut self, of: &CType, found: Type<'_>, at: At<'_>, depth: usize) -> Value {
        if depth == 0 {
            return Value::LeftOut("it is too deep".to_owned());
        }
        let size = u64::from(found.size_or_type);
        let whole = if at.bytes.is_none() && (1..=MAX_WHOLE).contains(&size) {
            self.read(at.address, size).ok()
        } else {
            None
        };
        let at = At { bytes: at.bytes.or(whole.as_deref()), ..at };
        let mut members = Vec::new();
        for member in found.members() {
            let name = shown(member.name);
            self.left = self.left.saturating_sub(name.len());
            let bit = u64::from(member.bit);
            let of = of.other(member.id);
            let value = if member.bits > 0 {
                let shift = member.bit % 8;
                let size = u64::from(shift.saturating_add(member.bits).div_ceil(8));
                match self.number(at.part(bit / 8, size), size) {
                    Ok(number) => self.scalar_of_bits(&of, number.wrapping_shr(shift), member.bits),
                    Err(unreadable) => unreadable,
                }
            } else {
                let part = at.part(bit / 8, of.size().unwrap_or_default());
                self.at(&of, part, depth.saturating_sub(1))
            };
            members.push(MemberValue { name, value });
            if self.is_full() {
                break;
            }
        }
        Value::Members(members)
    }

    fn array(&mut self, element: &CType, count: u64, at: At<'_>, depth: usize) -> Value {
        if element.is_char() && count > 0 {
            return self.characters(count, at);
        }
        let Some(size) = element.size().filter(|size| *size > 0) else {
            return Value::Elements(Elements { shown: Vec::new(), left_out: count });
        };
        let mut shown: Vec<(Value, u64)> = Vec::new();
        let mut examined = 0;
        let whole = count.saturating_mul(size);
        let bytes = (at.bytes.is_none() && (1..=MAX_WHOLE).contains(&whole))
            .then(|| self.read(at.address, whole).ok())
            .flatten();
        let at = At { bytes: at.bytes.or(bytes.as_deref()), ..at };
        while examined < count.min(MAX_EXAMINED) {
            let left = self.left;
            let value = self.at(element, at.part(examined.saturating_mul(size), size), depth);
            match shown.last_mut() {
                Some((last, times)) if *last == value => {
                    *times = times.saturating_add(1);
                    self.left = left;
                }
                _ => {
                    if shown.len() >= self.elements {
                        break;
                    }
                    shown.push((value, 1));
                }
            }
            examined = examined.saturating_add(1);
            if self.is_full() {
                break;
            }
        }
        Value::Elements(Elements { shown, left_out: count.saturating_sub(examined) })
    }

    fn characters(&mut self, count: u64, at: At<'_>) -> Value {
        let wanted = count.min(self.characters as u64);
        let bytes = match at.part(0, wanted).bytes {
            Some(bytes) => bytes.to_vec(),
            None => match self.read(at.address, wanted) {
                Ok(bytes) => bytes,
                Err(error) => return Value::Unreadable(error),
            },
        };
        Value::Text(self.text(&bytes, wanted < count))
    }

    fn text(&mut self, bytes: &[u8], is_cut: bool) -> Text {
        let end = bytes.iter().position(|byte| *byte == 0);
        let text = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let text = String::from_utf8_lossy(text).into_owned();
        self.left = self.left.saturating_sub(text.len().saturating_mul(6));
        Text { text, is_cut: end.is_none() && is_cut }
    }

    fn pointer(&mut self, to: &CType, at: At<'_>) -> Value {
        let target = match self.number(at, 8) {
            Ok(number) => number,
            Err(unreadable) => return unreadable,
        };
        let text = if target != 0 && to.is_char() { self.text_at(VirtAddr(target)) } else { None };
        // Constant texts have no symbols of their own.
        let symbol = if text.is_some() { None } else { self.symbol(target) };
        self.left = self.left.saturating_sub(symbol.as_ref().map_or(0, String::len));
        Value::Pointer { to: target, symbol, text }
    }

    /// The text at an address, if there is one: no further than the page that it ends in.
    fn text_at(&mut self, at: VirtAddr) -> Option<Text> {
        let most = self.characters as u64;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < most && !bytes.contains(&0) {
            let next = at.wrapping_add(bytes.len() as u64);
            let in_page = PAGE.saturating_sub(next.0 % PAGE);
            let length = in_page.min(most.saturating_sub(bytes.len() as u64));
            let Ok(more) = self.read(next, length) else { break };
            bytes.extend(more);
        }
        (!bytes.is_empty()).then(|| self.text(&bytes, true))
    }

    /// A number, an enumeration's value or a truth value, of the lowest bits.
    fn scalar_of_bits(&self, of: &CType, number: u64, bits: u32) -> Value {
        let unused = 64_u32.saturating_sub(bits.min(64));
        let unsigned = number.wrapping_shl(unused).wrapping_shr(unused);
        let signed = number.wrapping_shl(unused).cast_signed().wrapping_shr(unused);
        let Shape::Plain(found) = of.shape() else { return Value::Unsigned(unsigned) };
        match found.kind {
            Kind::Enum | Kind::Enum64 => {
                let value = if found.flag { signed } else { unsigned.cast_signed() };
                let name = found.values().find(|(_, other)| *other == value);
                Value::Enum { value, name: name.map(|(name, _)| shown(name)) }
            }
            _ => match found.integer() {
                // What is neither 0 nor 1 is a number that should not be there.
                Some(integer) if integer.boolean && unsigned <= 1 => Value::Bool(unsigned == 1),
                Some(integer) if integer.signed => Value::Signed(signed),
                _ => Value::Unsigned(unsigned),
            },
        }
    }

    fn float(&mut self, at: At<'_>, size: u64) -> Value {
        match (size, self.number(at, size.min(8))) {
            (4, Ok(number)) => {
                let single = f32::from_bits(u32::try_from(number).unwrap_or_default());
                Value::Float(f64::from(single).to_bits())
            }
            (8, Ok(number)) => Value::Float(number),
            (_, Err(unreadable)) => unreadable,
            _ => self.bytes(at, size),
        }
    }

    fn bytes(&mut self, at: At<'_>, size: u64) -> Value {
        let size = size.min(64);
        let bytes = match at.part(0, size).bytes {
            Some(bytes) => bytes.to_vec(),
            None => match self.read(at.address, size) {
                Ok(bytes) => bytes,
                Err(error) => return Value::Unreadable(error),
            },
        };
        Value::Bytes(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// One to nine bytes as a number, whose lowest 64 bits are given.
    fn number(&mut self, at: At<'_>, size: u64) -> Result<u64, Value> {
        let read;
        let bytes = match at.part(0, size).bytes {
            Some(bytes) => bytes,
            None => {
                read = self.read(at.address, size).map_err(Value::Unreadable)?;
                &read
            }
        };
        let number =
            bytes.get(..bytes.len().min(8)).and_then(|low| self.kernel.space.endian().number(low));
        number.ok_or_else(|| Value::Unreadable(format!("a number of {size} bytes")))
    }

    fn read(&mut self, at: VirtAddr, length: u64) -> Result<Vec<u8>, String> {
        self.reads = self.reads.checked_sub(1).ok_or("too much was read for this answer")?;
        let length = usize::try_from(length).unwrap_or_default();
        self.kernel.space.read_vec(at, length).map_err(|error| error.to_string())
    }
}
