//! Structures of the kernel by its own types, as `crash`'s `struct` and drgn show them.
//!
//! ```text
//! Query ──► types      a type by its name: the kernel's, else a module's
//!       ──► expression  SYMBOL.member->member[2]: where it is, and of which type
//!       ──► objects     one, one of each CPU, the entries of a list or tree
//!       ──► read        the memory there ──► Printed
//! a word ──► complete    names that begin so
//! ```
//!
//! Needs: a kernel with BTF. Gives: [`Printed`], values that say what they are and what cannot be
//! read. Every part is bounded: elements, texts, depth, and the values of one answer together.
//! Query and answer are values that can be sent: a child without rights reads held guests.

mod chain;
mod complete;
mod error;
mod expression;
mod layout;
mod nearest;
mod objects;
mod read;
mod types;
mod value;
mod variable;

use serde::{Deserialize, Serialize};

pub use complete::Word;
pub use error::PrintError;
pub use layout::{Layout, LayoutMember};
pub use value::{Elements, MemberValue, PrintedObject, Text, Value};

use crate::kernel::Kernel;
use types::Lookup;

/// What is to be printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// A type, with the members that are wanted of it behind a dot: `task_struct.pid,comm`. Or an
    /// expression, if its variable has a type in BTF.
    pub subject: String,
    /// Where it is. Without, the type's layout is printed.
    pub expression: Option<String>,
    /// Which objects are meant.
    pub objects: Objects,
    /// Of which CPU.
    pub cpu: Option<Cpus>,
    /// The most elements of an array, characters of a text, and entries of a list.
    pub elements: usize,
    /// How many structures inside of each other are printed.
    pub depth: usize,
}

/// Which objects an expression means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Objects {
    /// The one that is there.
    #[default]
    Itself,
    /// The one that has there this member.
    ContainerOf(String),
    /// The entries of the list whose head is there, linked by this member.
    List(String),
    /// The entries of the red-black tree whose root is there, linked by this member.
    Tree(String),
}

/// CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cpus {
    /// Each possible one.
    All,
    /// One.
    One(u32),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Printed {
    /// The type's name in C.
    pub type_name: String,
    /// Its size in bytes, if it has one.
    pub size: Option<u64>,
    /// The module that it is of, if it is not the kernel's.
    pub module: Option<String>,
    /// The type's layout, if no object was asked for.
    pub layout: Option<Layout>,
    /// The objects.
    pub objects: Vec<PrintedObject>,
    /// How many entries of a list or tree are left out.
    pub left_out: u64,
    /// What is missing or damaged, as sentences.
    pub findings: Vec<String>,
}

impl Printed {
    /// Whether nothing can be read of any object.
    pub fn is_unreadable(&self) -> bool {
        let unreadable = |object: &PrintedObject| matches!(object.value, Value::Unreadable(_));
        !self.objects.is_empty() && self.objects.iter().all(unreadable)
    }
}

impl Kernel {
    /// Answers a query.
    ///
    /// # Errors
    /// Fails if the kernel has no BTF, a name is not found, or what leads to the objects cannot be
    /// read. An object that cannot be read is a part of the answer.
    pub fn print(&self, query: &Query) -> Result<Printed, PrintError> {
        let lookup = Lookup::new(self)?;
        let mut printed = match lookup.subject(query)? {
            types::Subject::Layout(named) => layout::of(&lookup, &named, query),
            types::Subject::Objects { named, expression } => {
                objects::find(&lookup, &named, &expression, query)?
            }
        };
        printed.findings.extend(lookup.findings());
        Ok(printed)
    }
}

#[cfg(test)]
mod tests;
