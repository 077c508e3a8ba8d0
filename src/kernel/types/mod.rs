//! The kernel's own types, out of its memory.
//!
//! ```text
//! BTF in the image ──┬──► Types ──► Object  a structure in memory, read by its members' names
//! else inferred ──────┘              list    linked lists
//!                                   tree    red-black trees
//! ```
//!
//! Needs: a kernel's address space, and where its BTF is ([`find`]). Gives: offsets and
//! sizes by name. Kernels that were built without `DEBUG_INFO_BTF`, and those older than Linux
//! commit e83b9f55448a "kbuild: add ability to generate BTF type info for vmlinux" (in v5.2),
//! have no BTF: what can be is inferred, and findings list what is not known.

pub mod find;
mod inferred;
pub mod list;
pub mod object;
mod saved_context;
pub mod tree;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::btf::{Btf, BtfError};

pub use inferred::Layouts;
pub use list::List;
pub(super) use list::ListOf;
pub use object::{Object, ObjectError};
pub(super) use saved_context::SavedContext;
pub use tree::Tree;
pub use vmcore_formats::btf::{Bits, Field, TypeError};

use super::Kernel;
use super::page_tables::ReadError;
use super::reading::read_tables;

/// Why a kernel's types are not known.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TypesError {
    /// It carries none: commit "kbuild: add ability to generate BTF type info for vmlinux" (in
    /// v5.2) put it into the image.
    #[error(
        "the kernel's image has no BTF, which has the layouts of its structures (Linux 5.2 and newer has it if it was built with CONFIG_DEBUG_INFO_BTF)"
    )]
    None,
    /// They cannot be read.
    #[error("the kernel's BTF at {at} cannot be read: {source}")]
    Missing {
        /// Where they begin.
        at: VirtAddr,
        /// Why they cannot be read.
        source: ReadError,
    },
    /// They are damaged.
    #[error("the kernel's BTF at {at} is damaged: {source}")]
    Damaged {
        /// Where they begin.
        at: VirtAddr,
        /// What is wrong with them.
        source: BtfError,
    },
}

/// The most sentences on types of one name that are kept.
const MAX_AMBIGUITIES: usize = 16;

/// Fields that were looked up, by structure and path.
type Fields = HashMap<String, HashMap<String, Result<Field, TypeError>>>;

/// Where layouts come from.
#[derive(Debug)]
enum TypeSource {
    /// The kernel's own BTF.
    Btf(Arc<Btf>),
    /// Inferred.
    Inferred(Layouts),
}

/// A kernel's types.
#[derive(Debug)]
pub struct Types {
    source: TypeSource,
    findings: Vec<String>,
    fields: RwLock<Fields>,
    /// Members that were looked up in several structures of one name, as sentences.
    ambiguities: Mutex<BTreeSet<String>>,
}

impl Types {
    /// Finds and reads them; where there are none, infers what can be.
    pub(super) fn of(kernel: &Kernel) -> Result<Self, TypesError> {
        Self::read(kernel).or_else(|error| {
            let layouts = inferred::infer(kernel);
            if layouts.is_empty() {
                return Err(error);
            }
            let mut types = Self::inferred(layouts);
            types.findings.insert(0, error.to_string());
            Ok(types)
        })
    }

    fn read(kernel: &Kernel) -> Result<Self, TypesError> {
        let (at, length) = find::find(kernel).ok_or(TypesError::None)?;
        let mut bytes = vec![0; length];
        let missing = read_tables(&kernel.space, &mut [(at, &mut bytes)]);
        if let Some(source) = missing.problem {
            return Err(TypesError::Missing { at, source });
        }
        let btf = Btf::parse(bytes, kernel.space.endian());
        let btf = btf.map_err(|source| TypesError::Damaged { at, source })?;
        Ok(Self::new(btf))
    }

    /// Those of BTF that was read.
    pub fn new(btf: Btf) -> Self {
        let findings = btf.unread().map(str::to_owned).into_iter().collect();
        Self {
            source: TypeSource::Btf(Arc::new(btf)),
            findings,
            fields: RwLock::default(),
            ambiguities: Mutex::default(),
        }
    }

    fn inferred(layouts: Layouts) -> Self {
        let findings = layouts.findings();
        Self {
            source: TypeSource::Inferred(layouts),
            findings,
            fields: RwLock::default(),
            ambiguities: Mutex::default(),
        }
    }

    /// The BTF itself, which that of modules continues.
    pub fn btf(&self) -> Option<&Arc<Btf>> {
        match &self.source {
            TypeSource::Btf(btf) => Some(btf),
            TypeSource::Inferred(_) => None,
        }
    }

    /// What was inferred, if they are not the kernel's own.
    pub fn layouts(&self) -> Option<&Layouts> {
        match &self.source {
            TypeSource::Btf(_) => None,
            TypeSource::Inferred(layouts) => Some(layouts),
        }
    }

    /// That they were inferred, and what is missing or damaged, as sentences.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Where a member is in a structure: `thread.sp`, `mem[1].base`. Members of what has
    /// no name are found as if they were the structure's own.
    ///
    /// # Errors
    /// Fails if there is no such structure, or no such member in it.
    pub fn field(&self, structure: &str, path: &str) -> Result<Field, TypeError> {
        let fields = self.fields.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fields.get(structure).and_then(|fields| fields.get(path)) {
            return known.clone();
        }
        drop(fields);
        let found = match &self.source {
            TypeSource::Btf(btf) => self.first_field(btf, structure, path),
            TypeSource::Inferred(layouts) => layouts.field(structure, path),
        };
        let mut fields = self.fields.write().unwrap_or_else(PoisonError::into_inner);
        fields.entry(structure.to_owned()).or_default().insert(path.to_owned(), found.clone());
        found
    }

    /// A member of the first structure of this name that has it. Others that have it elsewhere
    /// are kept for [`Self::ambiguities`].
    fn first_field(&self, btf: &Btf, structure: &str, path: &str) -> Result<Field, TypeError> {
        let found = btf.field(structure, path)?;
        let others = btf.fields(structure, path).len();
        self.note_ambiguity(others, || {
            let first = found.offset;
            format!("types are named {structure}, with {path} at different offsets: the first one's ({first})")
        });
        Ok(found)
    }

    /// Members that were looked up and that several types of one name have in different places,
    /// as sentences.
    pub fn ambiguities(&self) -> Vec<String> {
        let all = self.ambiguities.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().cloned().collect()
    }

    /// The first byte of a member, from that of its structure.
    pub fn offset(&self, structure: &str, path: &str) -> Result<u64, TypeError> {
        self.field(structure, path).map(|field| field.offset)
    }

    /// Whether a structure has a member.
    pub fn has(&self, structure: &str, path: &str) -> bool {
        self.field(structure, path).is_ok()
    }

    /// Keeps that the first of several different answers was taken.
    fn note_ambiguity(&self, count: usize, what: impl FnOnce() -> String) {
        if count > 1 {
            let mut all = self.ambiguities.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() < MAX_AMBIGUITIES {
                all.insert(format!("{count} {} was taken", what()));
            }
        }
    }

    /// How many bytes a type has. The first of several sizes is taken, and kept for
    /// [`Self::ambiguities`].
    pub fn size(&self, structure: &str) -> Result<u64, TypeError> {
        match &self.source {
            TypeSource::Btf(btf) => {
                let size = btf.size(structure)?;
                self.note_ambiguity(btf.sizes(structure).len(), || {
                    format!(
                        "types of different sizes are named {structure}: the first one's ({size})"
                    )
                });
                Ok(size)
            }
            TypeSource::Inferred(layouts) => layouts.size(structure),
        }
    }

    /// A value of an enumeration. The first of several different ones is taken, and kept for
    /// [`Self::ambiguities`].
    pub fn enumerator(&self, enumeration: &str, name: &str) -> Result<i64, TypeError> {
        match &self.source {
            TypeSource::Btf(btf) => {
                let value = btf.enumerator(enumeration, name)?;
                let count = btf.enumerator_values(enumeration, name).len();
                self.note_ambiguity(count, || {
                    format!("values of {enumeration} are named {name}: the first ({value})")
                });
                Ok(value)
            }
            TypeSource::Inferred(layouts) => layouts.enumerator(enumeration, name),
        }
    }

    /// The names and values of an enumeration, in declaration order: several may have one value.
    pub fn enumerators(&self, enumeration: &str) -> Result<Vec<(String, i64)>, TypeError> {
        match &self.source {
            TypeSource::Btf(btf) => btf.enumerators(enumeration),
            TypeSource::Inferred(layouts) => layouts.enumerators(enumeration),
        }
    }
}
