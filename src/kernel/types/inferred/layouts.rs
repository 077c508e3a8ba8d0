//! Members whose offsets were inferred, and those that could not be.

use std::collections::{BTreeMap, HashMap};

use super::{Field, TypeError};

/// What nothing distinguishes from other numbers.
const NEVER: [&str; 3] =
    ["how long tasks ran", "how much memory processes have", "versions of modules"];

/// Why an offset is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// No offset fits.
    Nothing,
    /// This many offsets fit.
    Several(usize),
}

/// Structures whose layouts were inferred.
#[derive(Debug, Default)]
pub struct Layouts {
    structures: HashMap<&'static str, Structure>,
    enumerations: HashMap<&'static str, Vec<(String, i64)>>,
    doubts: Vec<String>,
    /// How many tasks and modules they were checked on.
    pub(super) tasks: usize,
    pub(super) modules: usize,
}

#[derive(Debug, Default)]
struct Structure {
    size: Option<u64>,
    members: BTreeMap<String, Field>,
}

impl Layouts {
    /// Whether nothing at all is known.
    pub(in crate::kernel::types) fn is_empty(&self) -> bool {
        self.structures.is_empty()
    }

    /// Where a member is in a structure.
    pub(in crate::kernel::types) fn field(
        &self,
        structure: &str,
        path: &str,
    ) -> Result<Field, TypeError> {
        let known = self.structures.get(structure);
        let known = known.ok_or_else(|| TypeError::NoType { name: structure.to_owned() })?;
        let (name, member) = (structure.to_owned(), path.to_owned());
        known.members.get(path).copied().ok_or(TypeError::NoMember { name, member })
    }

    /// How many bytes a structure has.
    pub(in crate::kernel::types) fn size(&self, structure: &str) -> Result<u64, TypeError> {
        let size = self.structures.get(structure).and_then(|known| known.size);
        size.ok_or_else(|| TypeError::NoType { name: structure.to_owned() })
    }

    /// The names and values of an enumeration.
    pub(in crate::kernel::types) fn enumerators(
        &self,
        name: &str,
    ) -> Result<Vec<(String, i64)>, TypeError> {
        let known = self.enumerations.get(name).cloned();
        known.ok_or_else(|| TypeError::NoType { name: name.to_owned() })
    }

    /// A value of an enumeration.
    pub(in crate::kernel::types) fn enumerator(
        &self,
        enumeration: &str,
        name: &str,
    ) -> Result<i64, TypeError> {
        let known = self.enumerations.get(enumeration);
        let known = known.ok_or_else(|| TypeError::NoType { name: enumeration.to_owned() })?;
        let found = known.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let (name, member) = (enumeration.to_owned(), name.to_owned());
        found.ok_or(TypeError::NoMember { name, member })
    }

    /// All members that are known: structure, path, location.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str, Field)> {
        self.structures.iter().flat_map(|(structure, known)| {
            known.members.iter().map(|(path, field)| (*structure, path.as_str(), *field))
        })
    }

    /// All sizes that are known.
    pub fn sizes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.structures.iter().filter_map(|(name, known)| Some((*name, known.size?)))
    }

    /// All values of enumerations that are known.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &str, i64)> {
        self.enumerations.iter().flat_map(|(enumeration, values)| {
            values.iter().map(|(name, value)| (*enumeration, name.as_str(), *value))
        })
    }

    /// What a reader should know: that layouts were inferred, and which could not be.
    pub(in crate::kernel::types) fn findings(&self) -> Vec<String> {
        let mut findings = vec![format!(
            "layouts of the kernel's structures were inferred from invariants of every kernel, and checked on {} tasks and {} modules",
            self.tasks, self.modules
        )];
        let doubts = self.doubts.iter().map(String::as_str);
        let missing: Vec<_> = doubts.chain(NEVER).collect();
        findings.push(format!("not inferred: {}", missing.join("; ")));
        findings
    }

    pub(super) fn know(&mut self, structure: &'static str, path: &str, offset: u64, size: u64) {
        self.insert(structure, path, Field { offset, size, bits: None, elements: None });
    }

    /// A text that is a member itself.
    pub(super) fn know_text(
        &mut self,
        structure: &'static str,
        path: &str,
        offset: u64,
        size: u32,
    ) {
        let (size, elements) = (size.into(), Some(size));
        self.insert(structure, path, Field { offset, size, bits: None, elements });
    }

    pub(super) fn insert(&mut self, structure: &'static str, path: &str, field: Field) {
        let known = self.structures.entry(structure).or_default();
        known.members.insert(path.to_owned(), field);
    }

    pub(super) fn know_size(&mut self, structure: &'static str, size: u64) {
        self.structures.entry(structure).or_default().size = Some(size);
    }

    pub(super) fn know_values(&mut self, enumeration: &'static str, values: Vec<(String, i64)>) {
        self.enumerations.insert(enumeration, values);
    }

    /// Keeps an offset, or the reason why there is none.
    pub(super) fn take(
        &mut self,
        structure: &'static str,
        path: &str,
        size: u64,
        found: Result<u64, Doubt>,
    ) -> Option<u64> {
        match found {
            Ok(offset) => {
                self.know(structure, path, offset, size);
                Some(offset)
            }
            Err(doubt) => {
                self.doubt(&format!("{structure}.{path}"), doubt);
                None
            }
        }
    }

    pub(super) fn doubt(&mut self, what: &str, doubt: Doubt) {
        self.doubts.push(match doubt {
            Doubt::Nothing => format!("{what} (no offset fits)"),
            Doubt::Several(places) => format!("{what} ({places} offsets fit)"),
        });
    }
}
