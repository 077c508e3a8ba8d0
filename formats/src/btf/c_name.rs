//! Types as C writes them: `struct list_head *`, `int (*show)(struct seq_file *, void *)`.
//!
//! Needs: BTF, a type, and what is declared with it. Gives: the text, bounded in length. Names
//! are those of BTF, which may be any bytes: who prints them makes them printable.

use super::{Btf, Kind, Type};
use crate::text::{self, MAX_NAME, MAX_TEXT};

/// The most pointers, arrays, functions, typedefs and qualifiers of one declaration, those of its
/// parameters included.
const MAX_STEPS: usize = 512;

/// A declaration that is being written.
pub struct Declaration<'a> {
    btf: &'a Btf,
    name_of: &'a dyn Fn(Type<'_>) -> String,
    steps: usize,
}

impl std::fmt::Debug for Declaration<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Declaration").field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl Btf {
    /// A type's name in C, `void` for 0. What has no name is `struct {...}`.
    pub fn c_name(&self, id: u32) -> String {
        self.c_declaration(id, "")
    }

    /// The declaration of `declared` with a type, without what is in a structure.
    pub fn c_declaration(&self, id: u32, declared: &str) -> String {
        Declaration::new(self, &plain_name).of(id, declared)
    }
}

impl<'a> Declaration<'a> {
    /// One that names structures, unions, enumerations, typedefs and numbers by `name_of`.
    pub fn new(btf: &'a Btf, name_of: &'a dyn Fn(Type<'_>) -> String) -> Self {
        Self { btf, name_of, steps: 0 }
    }

    /// The declaration of `declared` with a type. With nothing declared, the type's name.
    ///
    /// From the inside out: a pointer is written before what was declared so far, arrays and
    /// parameters behind it.
    pub fn of(&mut self, id: u32, declared: &str) -> String {
        let mut declared = declared.to_owned();
        let mut qualifiers = String::new();
        let mut id = id;
        loop {
            self.steps = self.steps.saturating_add(1);
            if self.steps > MAX_STEPS || declared.len() > MAX_TEXT {
                return joined("...", &declared);
            }
            let Some(found) = self.btf.by_id(id) else {
                return joined(&format!("{qualifiers}void"), &declared);
            };
            match found.kind {
                Kind::Ptr => {
                    let space = if declared.is_empty() || qualifiers.is_empty() { "" } else { " " };
                    declared = format!("*{}{space}{declared}", qualifiers.trim_end());
                    qualifiers.clear();
                    id = found.size_or_type;
                }
                Kind::Array => {
                    let array = found.array();
                    let count = array.map_or(0, |array| array.count);
                    declared = format!("{}[{count}]", grouped(&declared));
                    id = array.map_or(0, |array| array.element);
                }
                Kind::FuncProto => {
                    declared = format!("{}({})", grouped(&declared), self.parameters(&found));
                    qualifiers.clear();
                    id = found.size_or_type;
                }
                Kind::Const | Kind::Volatile | Kind::Restrict => {
                    let qualifier = match found.kind {
                        Kind::Const => "const ",
                        Kind::Volatile => "volatile ",
                        _ => "restrict ",
                    };
                    if !qualifiers.contains(qualifier) {
                        qualifiers.push_str(qualifier);
                    }
                    id = found.size_or_type;
                }
                Kind::TypeTag | Kind::Var | Kind::Func => id = found.size_or_type,
                _ => {
                    let name = (self.name_of)(found);
                    return joined(&format!("{qualifiers}{name}"), &declared);
                }
            }
        }
    }

    fn parameters(&mut self, function: &Type<'_>) -> String {
        let count = function.parameters().count();
        let mut all = String::new();
        for (number, parameter) in function.parameters().enumerate() {
            if number > 0 {
                all.push_str(", ");
            }
            if self.steps > MAX_STEPS || all.len() > MAX_TEXT {
                all.push_str("...");
                return all;
            }
            let is_last = number.saturating_add(1) == count;
            match parameter.id {
                0 if is_last && count > 1 => all.push_str("..."),
                id => all.push_str(&self.of(id, "")),
            }
        }
        if all.is_empty() {
            return "void".to_owned();
        }
        all
    }
}

/// The name of what is no pointer, array or function.
fn plain_name(found: Type<'_>) -> String {
    let name = text::lossy(found.name(), MAX_NAME);
    let keyword = match found.kind {
        Kind::Struct => "struct",
        Kind::Union => "union",
        Kind::Enum | Kind::Enum64 => "enum",
        Kind::Fwd if found.flag => "union",
        Kind::Fwd => "struct",
        _ => return name,
    };
    if name.is_empty() { format!("{keyword} {{...}}") } else { format!("{keyword} {name}") }
}

fn joined(base: &str, declared: &str) -> String {
    match declared.is_empty() {
        true => base.to_owned(),
        false => format!("{base} {declared}"),
    }
}

/// Arrays and parameters bind more than a pointer does.
fn grouped(declared: &str) -> String {
    if declared.starts_with('*') { format!("({declared})") } else { declared.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::btf::Btf;
    use crate::btf::synthetic::Builder;
    use crate::endian::Endian;

    #[test]
    fn types_are_written_as_c_has_them() {
        let mut btf = Builder::new();
        let int = btf.plain("int", 1, 4, &[32]);
        let list = btf.aggregate(4, "list_head", 0, &[]);
        let pointer = btf.plain("", 2, list, &[]);
        let constant = btf.plain("", 10, int, &[]);
        let to_constant = btf.plain("", 2, constant, &[]);
        let constant_pointer = btf.plain("", 10, to_constant, &[]);
        let array = btf.plain("", 3, 0, &[pointer, int, 3]);
        let to_array = btf.plain("", 2, array, &[]);
        let function = btf.plain("", 13, pointer, &[]);
        let anonymous = btf.aggregate(5, "", 0, &[]);
        let to_void = btf.plain("", 2, 0, &[]);
        let to_function = btf.plain("", 2, function, &[]);
        let matrix = btf.plain("", 3, 0, &[array, int, 2]);
        let btf = Btf::parse(btf.build(), Endian::Little).unwrap();
        for (id, name) in [
            (0, "void"),
            (int, "int"),
            (pointer, "struct list_head *"),
            (to_constant, "const int *"),
            (constant_pointer, "const int *const"),
            (array, "struct list_head *[3]"),
            (to_array, "struct list_head *(*)[3]"),
            (to_function, "struct list_head *(*)(void)"),
            (anonymous, "union {...}"),
            (to_void, "void *"),
            (matrix, "struct list_head *[2][3]"),
        ] {
            assert_eq!(btf.c_name(id), name);
        }
    }

    #[test]
    fn what_does_not_end_is_cut() {
        let mut btf = Builder::new();
        btf.plain("", 2, 1, &[]);
        let btf = Btf::parse(btf.build(), Endian::Little).unwrap();
        assert!(btf.c_name(1).starts_with("... *"));
    }
}
