//! The names of a header's types: harmless, and one for each.
//!
//! C has two spaces of names here: tags of structures, unions and enumerations; and typedefs with
//! the values of enumerations.

use std::collections::{HashMap, HashSet};

use super::is_enumeration;
use crate::btf::{Btf, Kind, Type};

/// The most values of enumerations that are written.
const MAX_VALUES: usize = 1 << 20;
/// The longest name.
const MAX_NAME: usize = 256;

/// The names of types and of values of enumerations.
#[derive(Debug, Default)]
pub(super) struct Names {
    tags: HashMap<u32, String>,
    ordinary: HashMap<u32, String>,
    enumerators: HashMap<u32, Vec<String>>,
}

/// Names that are taken, and how often each was wanted.
#[derive(Default)]
struct Space(HashMap<String, u32>);

impl Space {
    /// A name that no other has.
    fn take(&mut self, wanted: &str) -> String {
        let count = self.0.entry(wanted.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        match *count {
            1 => wanted.to_owned(),
            mut number => loop {
                let name = format!("{wanted}___{number}");
                if self.0.insert(name.clone(), 1).is_none() {
                    return name;
                }
                number = number.saturating_add(1);
            },
        }
    }
}

impl Names {
    pub(super) fn of(btf: &Btf) -> Self {
        let mut names = Self::default();
        let (mut tags, mut ordinary) = (Space::default(), Space::default());
        let mut defined: HashMap<(bool, &[u8]), String> = HashMap::new();
        let mut left = MAX_VALUES;
        for found in btf.types() {
            let id = found.id;
            match found.kind {
                Kind::Struct | Kind::Union if !found.name().is_empty() => {
                    let name = tags.take(&identifier(found.name(), id));
                    let key = (found.kind == Kind::Union, found.name());
                    defined.entry(key).or_insert_with(|| name.clone());
                    names.tags.insert(id, name);
                }
                Kind::Typedef => {
                    names.ordinary.insert(id, ordinary.take(&identifier(found.name(), id)));
                }
                _ if is_enumeration(&found) => {
                    let wanted = match found.name() {
                        [] => format!("anonymous_{id}"),
                        name => identifier(name, id),
                    };
                    names.tags.insert(id, tags.take(&wanted));
                    let values = found.values().take(left).map(|(name, _)| {
                        left = left.saturating_sub(1);
                        ordinary.take(&identifier(name, id))
                    });
                    names.enumerators.insert(id, values.collect());
                }
                _ => {}
            }
        }
        // What is declared only is the structure of that name, if there is one.
        for found in btf.types().filter(|found| found.kind == Kind::Fwd) {
            let known = defined.get(&(found.flag, found.name())).cloned();
            let name = known.unwrap_or_else(|| {
                let name = tags.take(&identifier(found.name(), found.id));
                defined.insert((found.flag, found.name()), name.clone());
                name
            });
            names.tags.insert(found.id, name);
        }
        names
    }

    pub(super) fn tag(&self, id: u32) -> Option<&str> {
        self.tags.get(&id).map(String::as_str)
    }

    pub(super) fn ordinary(&self, id: u32) -> Option<&str> {
        self.ordinary.get(&id).map(String::as_str)
    }

    pub(super) fn enumerator(&self, id: u32, number: usize) -> Option<&str> {
        self.enumerators.get(&id)?.get(number).map(String::as_str)
    }

    /// `struct file`, for what has a name of its own.
    pub(super) fn of_tag(&self, found: &Type<'_>) -> Option<String> {
        let is_union = found.kind == Kind::Union || found.kind == Kind::Fwd && found.flag;
        let is_record = found.kind.is_aggregate() || found.kind == Kind::Fwd;
        let tag = self.tag(found.id).filter(|_| is_record)?;
        Some(format!("{} {tag}", if is_union { "union" } else { "struct" }))
    }

    /// A type's name where it is used.
    pub(super) fn written(&self, found: &Type<'_>) -> String {
        let tag = || self.tag(found.id).unwrap_or("unknown");
        match found.kind {
            Kind::Enum | Kind::Enum64 => format!("enum {}", tag()),
            Kind::Typedef => self.ordinary(found.id).unwrap_or("int").to_owned(),
            Kind::Int | Kind::Float => number(found).unwrap_or("char").to_owned(),
            // What has no name is written where it is used, or not at all.
            _ => self.of_tag(found).unwrap_or_else(|| "void".to_owned()),
        }
    }
}

/// A number's name in C, by its size where its own is none.
pub(super) fn number(found: &Type<'_>) -> Option<&'static str> {
    let size = found.size_or_type;
    if found.kind == Kind::Float {
        return match size {
            2 => Some("_Float16"),
            4 => Some("float"),
            8 => Some("double"),
            16 => Some("long double"),
            _ => None,
        };
    }
    let integer = found.integer()?;
    let name = found.name();
    match (size, integer.signed) {
        (1, _) if integer.boolean || name == b"_Bool" => Some("_Bool"),
        (1, _) if name == b"char" => Some("char"),
        (1, true) => Some("signed char"),
        (1, false) => Some("unsigned char"),
        (2, true) => Some("short"),
        (2, false) => Some("unsigned short"),
        (4, true) => Some("int"),
        (4, false) => Some("unsigned int"),
        (8, true) if name.starts_with(b"long long") => Some("long long"),
        (8, false) if name.starts_with(b"long long") => Some("unsigned long long"),
        (8, true) => Some("long"),
        (8, false) => Some("unsigned long"),
        (16, true) => Some("__int128"),
        (16, false) => Some("unsigned __int128"),
        _ => None,
    }
}

/// A name that C takes.
pub(super) fn identifier(name: &[u8], id: u32) -> String {
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_sound = name.first().is_some_and(is_start)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        && name.len() <= MAX_NAME;
    let text = String::from_utf8_lossy(name);
    if is_sound && !keywords().contains(&*text) {
        text.into_owned()
    } else {
        format!("unnamed_{id}")
    }
}

fn keywords() -> &'static HashSet<&'static str> {
    static KEYWORDS: std::sync::OnceLock<HashSet<&'static str>> = std::sync::OnceLock::new();
    KEYWORDS.get_or_init(|| {
        "auto break case char const continue default do double else enum extern float for goto if \
         inline int long register restrict return short signed sizeof static struct switch typedef \
         union unsigned void volatile while asm typeof _Bool _Alignas _Alignof _Atomic _Complex \
         _Generic _Imaginary _Noreturn _Static_assert _Thread_local _Float16 __int128"
            .split_whitespace()
            .collect()
    })
}
