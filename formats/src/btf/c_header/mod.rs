//! All types of a kernel as C declarations, like `bpftool btf dump format c`.
//!
//! ```text
//! enumerations ─► struct and union names ─► definitions, each behind what it has by value
//! ```
//!
//! Needs: BTF. Gives: a header that compilers lay out as BTF says: where their own rules would
//! place a member elsewhere, there is padding before it, or the structure is packed. Names that C
//! has no use for are replaced, names that several types have get a number (`file___2`). What
//! contradicts itself is left out and listed: a member outside of its structure, or one whose type
//! has itself by value, is bytes.

mod body;
mod names;

use std::collections::HashMap;

use super::{Btf, Declaration, Kind, Type};
use names::Names;

/// The longest header, in bytes. A kernel's has 3 to 5 MB.
const MAX_LENGTH: usize = 64 << 20;
/// The most types that have each other by value, in each other.
const MAX_DEPTH: usize = 128;
/// The most members that are written for each byte of BTF, and the most bytes. What has no name is
/// written wherever it is used, and can multiply. A kernel takes less than one byte of text for
/// each.
const PER_BYTE: usize = 16;
/// The same for any BTF, however short.
const AT_LEAST: usize = 1 << 16;
/// The most sentences on what is left out.
const MAX_LEFT_OUT: usize = 64;

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The declarations.
    pub text: String,
    /// What is left out, as sentences: the first ones.
    pub left_out: Vec<String>,
}

/// How far a type is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It is being written.
    Begun,
    /// It is written, and compilers align it so.
    Written { align: u64 },
}

impl Btf {
    /// All types as C declarations.
    pub fn c_header(&self) -> Header {
        let mut writer = Writer {
            btf: self,
            names: Names::of(self),
            progress: HashMap::new(),
            header: Header::default(),
            left: AT_LEAST.saturating_add(self.bytes.len().saturating_mul(PER_BYTE)),
            is_full: false,
        };
        writer.write();
        writer.header
    }
}

struct Writer<'b> {
    btf: &'b Btf,
    names: Names,
    progress: HashMap<u32, Progress>,
    header: Header,
    /// How many members and bytes may still be written.
    left: usize,
    is_full: bool,
}

impl Writer<'_> {
    fn write(&mut self) {
        self.push(BEGINNING);
        for found in self.btf.types().filter(is_enumeration) {
            self.enumeration(&found);
        }
        for found in self.btf.types() {
            if let Some(name) = self.names.of_tag(&found) {
                self.push(&format!("{name};\n"));
            }
        }
        self.push("\n");
        for found in self.btf.types() {
            match found.kind {
                Kind::Struct | Kind::Union if !found.name().is_empty() => {
                    self.define(found.id, 0);
                }
                Kind::Typedef => {
                    self.typedef(found.id, 0);
                }
                _ => {}
            }
        }
        if self.is_full {
            self.leave_out(
                "types are left out: those before take more text than any kernel's".to_owned(),
            );
        }
        self.header.text.push_str(END);
    }

    fn push(&mut self, text: &str) {
        self.is_full |= self.header.text.len().saturating_add(text.len()) > MAX_LENGTH;
        if !self.is_full {
            self.header.text.push_str(text);
        }
    }

    fn spend(&mut self, price: usize) {
        self.left = self.left.saturating_sub(price);
        self.is_full |= self.left == 0;
    }

    fn leave_out(&mut self, what: String) {
        if self.header.left_out.len() < MAX_LEFT_OUT {
            self.header.left_out.push(what);
        }
    }

    fn enumeration(&mut self, found: &Type<'_>) {
        let Some(tag) = self.names.tag(found.id) else { return };
        let mut text = format!("enum {tag} {{\n");
        for (number, (_, value)) in found.values().enumerate() {
            let Some(name) = self.names.enumerator(found.id, number) else { break };
            // A value that is not signed may have the highest bit.
            let shown = match found.flag {
                false if value < 0 => format!("{}ULL", value.cast_unsigned()),
                _ => value.to_string(),
            };
            text.push_str(&format!("\t{name} = {shown},\n"));
        }
        if found.vlen == 0 {
            return;
        }
        // The compiler would take another size than the one that BTF has.
        let mode = match found.size_or_type {
            1 => " __attribute__((mode(byte)))",
            2 => " __attribute__((mode(HI)))",
            8 => " __attribute__((mode(word)))",
            _ => "",
        };
        self.push(&format!("{text}}}{mode};\n\n"));
    }

    /// Writes a structure or union, behind what it has by value. Gives its alignment, if it can be
    /// had by value.
    fn define(&mut self, id: u32, depth: usize) -> Option<u64> {
        match self.progress.get(&id) {
            Some(Progress::Written { align }) => return Some(*align),
            Some(Progress::Begun) => return None,
            None => {}
        }
        if depth > MAX_DEPTH || self.is_full {
            return None;
        }
        let found = self.btf.by_id(id)?;
        let name = self.names.of_tag(&found)?;
        self.progress.insert(id, Progress::Begun);
        let body = self.body(&found, 0, depth.saturating_add(1));
        let packed = if body.is_packed { " __attribute__((packed))" } else { "" };
        self.push(&format!("{name} {}{packed};\n\n", body.text));
        self.progress.insert(id, Progress::Written { align: body.align });
        Some(body.align)
    }

    /// Writes a typedef behind what it needs. Says whether it is there.
    fn typedef(&mut self, id: u32, depth: usize) -> bool {
        match self.progress.get(&id) {
            Some(Progress::Written { .. }) => return true,
            Some(Progress::Begun) => return false,
            None => {}
        }
        let Some(found) = self.btf.by_id(id).filter(|_| depth <= MAX_DEPTH && !self.is_full) else {
            return false;
        };
        let Some(name) = self.names.ordinary(id).map(str::to_owned) else { return false };
        self.progress.insert(id, Progress::Begun);
        let declared = self.declared(found.size_or_type, &name, false, 0, depth.saturating_add(1));
        let Some(Declared { text, .. }) = declared else {
            self.progress.remove(&id);
            return false;
        };
        if !name.starts_with("__builtin_") {
            self.push(&format!("typedef {text};\n\n"));
        }
        self.progress.insert(id, Progress::Written { align: 1 });
        true
    }

    /// The declaration of `name` with a type, once all that it needs is written.
    ///
    /// Returns `None` for what cannot be declared.
    fn declared(
        &mut self,
        id: u32,
        name: &str,
        by_value: bool,
        indent: usize,
        depth: usize,
    ) -> Option<Declared> {
        let mut inline = None;
        let mut steps = 0;
        let align = self.need(id, by_value, indent, depth, &mut inline, &mut steps)?;
        let names = &self.names;
        let name_of = |found: Type<'_>| match &inline {
            Some((id, text)) if *id == found.id => String::clone(text),
            _ => names.written(&found),
        };
        let text = Declaration::new(self.btf, &name_of).of(id, name);
        Some(Declared { text, align })
    }

    /// Writes what a type needs: typedefs by their names, and what is had by value. Gives the
    /// type's alignment; 1 where only a pointer to it is needed.
    fn need(
        &mut self,
        id: u32,
        by_value: bool,
        indent: usize,
        depth: usize,
        inline: &mut Option<(u32, String)>,
        steps: &mut usize,
    ) -> Option<u64> {
        *steps = steps.saturating_add(1);
        if depth > MAX_DEPTH || *steps > 1024 || self.is_full {
            return None;
        }
        let deeper = depth.saturating_add(1);
        let Some(found) = self.btf.by_id(id) else { return Some(1) };
        let target = found.size_or_type;
        match found.kind {
            Kind::Ptr => {
                self.need(target, false, indent, deeper, inline, steps)?;
                Some(8)
            }
            // Elements are complete even where the array is not there by value.
            Kind::Array => self.need(found.array()?.element, true, indent, deeper, inline, steps),
            Kind::FuncProto => {
                self.need(target, false, indent, deeper, inline, steps)?;
                for parameter in found.parameters() {
                    // What has no name would be another type in each declaration.
                    let mut none = None;
                    self.need(parameter.id, false, indent, deeper, &mut none, steps)?;
                }
                Some(1)
            }
            Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                self.need(target, by_value, indent, deeper, inline, steps)
            }
            Kind::Typedef => {
                if !self.typedef(id, deeper) {
                    return None;
                }
                let mut written = None;
                self.need(target, by_value, indent, deeper, &mut written, steps)
            }
            Kind::Struct | Kind::Union if found.name().is_empty() => {
                let body = self.body(&found, indent, deeper);
                let keyword = if found.kind == Kind::Struct { "struct" } else { "union" };
                let packed = if body.is_packed { " __attribute__((packed))" } else { "" };
                *inline = Some((id, format!("{keyword} {}{packed}", body.text)));
                Some(body.align)
            }
            Kind::Struct | Kind::Union if by_value => self.define(id, deeper),
            Kind::Struct | Kind::Union => Some(1),
            Kind::Enum | Kind::Enum64 => {
                let size = u64::from(target);
                (found.vlen > 0 && matches!(size, 1 | 2 | 4 | 8)).then_some(size)
            }
            Kind::Fwd => (!by_value).then_some(1),
            Kind::Int | Kind::Float => {
                names::number(&found)?;
                Some(target.into())
            }
            _ => None,
        }
    }
}

/// What was declared.
struct Declared {
    text: String,
    align: u64,
}

fn is_enumeration(found: &Type<'_>) -> bool {
    matches!(found.kind, Kind::Enum | Kind::Enum64)
}

/// As bpftool has it: BPF programs find members where the kernel that they run on has them.
const BEGINNING: &str = "\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#if defined(__bpf__) && !defined(BPF_NO_PRESERVE_ACCESS_INDEX)
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

";
const END: &str = "\
#if defined(__bpf__) && !defined(BPF_NO_PRESERVE_ACCESS_INDEX)
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
";

#[cfg(test)]
mod tests;
