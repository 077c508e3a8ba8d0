//! What is printed: values that say what they are, and why one is not there.

use serde::{Deserialize, Serialize};

/// An object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrintedObject {
    /// Where it is. `None` for a bit field, which has no address of its own.
    pub address: Option<u64>,
    /// The symbol of that address, if it has one.
    pub symbol: Option<String>,
    /// The CPU that it is of, if it is one of each.
    pub cpu: Option<u32>,
    /// The value.
    pub value: Value,
}

/// A member of a structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberValue {
    /// Its name; empty if it has none.
    pub name: String,
    /// What it has.
    pub value: Value,
}

/// A text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// What is before its first NUL.
    pub text: String,
    /// Whether it is longer.
    pub is_cut: bool,
}

/// The elements of an array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elements {
    /// The first ones: each, and how often it follows itself.
    pub shown: Vec<(Value, u64)>,
    /// How many are not among them.
    pub left_out: u64,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A number without a sign.
    Unsigned(u64),
    /// A number with a sign.
    Signed(i64),
    /// A truth value.
    Bool(bool),
    /// A floating-point number, as its bits of 64.
    Float(u64),
    /// A value of an enumeration.
    Enum {
        /// The number.
        value: i64,
        /// Its name, if it has one.
        name: Option<String>,
    },
    /// A pointer.
    Pointer {
        /// Where it points to.
        to: u64,
        /// The symbol that is there.
        symbol: Option<String>,
        /// The text that is there, if it points to characters.
        text: Option<Text>,
    },
    /// An array of characters.
    Text(Text),
    /// A structure or union.
    Members(Vec<MemberValue>),
    /// An array.
    Elements(Elements),
    /// What has no other form: bytes in hexadecimal digits.
    Bytes(String),
    /// It cannot be read, and why.
    Unreadable(String),
    /// It is left out, and why.
    LeftOut(String),
}
