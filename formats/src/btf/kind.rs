//! Kinds of types, and how long what follows each of them is.
//!
//! ```text
//! what follows the 12 bytes of a type, one            each, vlen times
//! INT VAR DECL_TAG  4      ARRAY  12
//!                                                     STRUCT UNION DATASEC ENUM64  12
//!                                                     ENUM FUNC_PROTO  8
//! ```
//!
//! A kind that is not known here is passed over by the layout section, where there is
//! one: for each kind, from 0 on, `info_sz u8, elem_sz u8, flags u16`.

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
    /// A kind that came later.
    Unknown(u8),
}

impl Kind {
    /// The kind of a type's `info` word.
    #[must_use]
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

    /// How many bytes follow a type of this kind. `None` if nothing tells.
    #[must_use]
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

    /// Whether it stands for another type, as far as layouts go.
    #[must_use]
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

    /// Whether a type of this kind is looked up by name.
    #[must_use]
    pub fn is_indexed(self) -> bool {
        self.is_aggregate() || matches!(self, Self::Enum | Self::Enum64 | Self::Typedef)
    }

    /// Whether it has members.
    #[must_use]
    pub fn is_aggregate(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }
}
