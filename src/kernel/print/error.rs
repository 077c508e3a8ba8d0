//! Why nothing can be printed.

use thiserror::Error;

use crate::kernel::types::TypesError;

/// Why a query has no answer.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PrintError {
    /// The kernel's types are not known.
    #[error("structures cannot be printed: {0}")]
    Types(#[from] TypesError),
    /// Layouts were inferred, which have a few members only.
    #[error(
        "structures cannot be printed: the kernel's image has no BTF, and of the layouts that were inferred only single members are known"
    )]
    Inferred,
    /// There is no such type.
    #[error("neither the kernel nor a module has a type {name}")]
    NoType {
        /// Its name.
        name: String,
        /// Those that have the most similar names.
        nearest: Vec<String>,
    },
    /// There is no such symbol.
    #[error("the kernel has no symbol {name}")]
    NoSymbol {
        /// Its name.
        name: String,
        /// Those that have the most similar names.
        nearest: Vec<String>,
    },
    /// A type has no such member.
    #[error("{structure} has no member {member}")]
    NoMember {
        /// The type's name.
        structure: String,
        /// The member.
        member: String,
        /// Those that have the most similar names.
        nearest: Vec<String>,
    },
    /// The words mean nothing.
    #[error("{text} is no {what}: {problem}")]
    Syntax {
        /// The words.
        text: String,
        /// What they should be.
        what: &'static str,
        /// Why they are not.
        problem: String,
    },
    /// The variable's type is not known.
    #[error("the kernel does not tell the type of {name}")]
    Untyped {
        /// The variable.
        name: String,
    },
    /// A value cannot be followed.
    #[error("{path} cannot be followed: {problem}")]
    NotFollowed {
        /// What was written.
        path: String,
        /// Why not.
        problem: String,
    },
    /// A per-CPU variable without a CPU.
    #[error("{name} is a per-CPU variable: each CPU has its own")]
    PerCpu {
        /// The variable.
        name: String,
    },
    /// A CPU that the kernel does not have.
    #[error("the kernel has no CPU {cpu}: it has {all}")]
    NoCpu {
        /// Its number.
        cpu: u32,
        /// Those that it has.
        all: String,
    },
    /// A member that links no list or tree.
    #[error("{structure}.{member} is {found}, and links no {wanted}")]
    NoLink {
        /// The structure.
        structure: String,
        /// The member.
        member: String,
        /// Its type.
        found: String,
        /// `list` or `red-black tree`.
        wanted: &'static str,
    },
}

impl PrintError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoType { nearest, .. }
            | Self::NoSymbol { nearest, .. }
            | Self::NoMember { nearest, .. } => {
                (!nearest.is_empty()).then(|| format!("similar names: {}", nearest.join(", ")))
            }
            Self::Untyped { name } => {
                Some(format!("name its type: `print ENTRY TYPE {name}`"))
            }
            Self::PerCpu { .. } => Some("--cpu N prints that of one CPU, --cpu all each".to_owned()),
            Self::NoLink { wanted: "list", .. } => Some(
                "a list is linked by a list_head, an hlist_node, an llist_node, or a pointer to its own structure".to_owned(),
            ),
            Self::NoLink { .. } => Some("a red-black tree is linked by an rb_node".to_owned()),
            _ => None,
        }
    }
}
