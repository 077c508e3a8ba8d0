//! Kinds of types, and the length of the data of each.
//!
//! ```text
//! after the 12 bytes of a type: once                  vlen times
//! INT VAR DECL_TAG  4      ARRAY  12
//!                                                     STRUCT UNION DATASEC ENUM64  12
//!                                                     ENUM FUNC_PROTO  8
//! ```
//!
//! An unknown kind is skipped with the help of the layout section, if there is one: for
//! each kind, from 0 on, `info_sz u8, elem_sz u8, flags u16`.

/// A kind of type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are C's, or explained in the module")]
#[non_exhaustive]
pub enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    DataSec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
    /// A kind that this decoder does not know.
    Unknown(u8),
}

impl Kind {
    /// The kind of a type's `info` word.
    pub fn of(info: u32) -> Self {
        match (info >> 24) & 0x7f {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::DataSec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            other => Self::Unknown(u8::try_from(other).unwrap_or_default()),
        }
    }

    /// How many bytes of data a type of this kind has. `None` if that is unknown.
    pub fn tail(self, vlen: u32, layout: &[u8]) -> Option<u64> {
        let each = |size: u64| Some(size.saturating_mul(vlen.into()));
        match self {
            Self::Int | Self::Var | Self::DeclTag => Some(4),
            Self::Array => Some(12),
            Self::Struct | Self::Union | Self::DataSec | Self::Enum64 => each(12),
            Self::Enum | Self::FuncProto => each(8),
            Self::Ptr
            | Self::Fwd
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Func
            | Self::Float
            | Self::TypeTag => Some(0),
            Self::Unknown(0) => None,
            Self::Unknown(kind) => {
                let [one, of_each, ..] = layout.chunks_exact(4).nth(kind.into())? else {
                    return None;
                };
                each(u64::from(*of_each))?.checked_add(u64::from(*one))
            }
        }
    }

    /// Whether its layout is that of the type that it refers to.
    pub fn is_alias(self) -> bool {
        matches!(
            self,
            Self::Typedef
                | Self::Volatile
                | Self::Const
                | Self::Restrict
                | Self::TypeTag
                | Self::Var
        )
    }

    /// Whether a type of this kind can be looked up by name.
    pub fn is_indexed(self) -> bool {
        self.is_aggregate() || matches!(self, Self::Enum | Self::Enum64 | Self::Typedef)
    }

    /// Whether it has members.
    pub fn is_aggregate(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }
}
