//! The symbols of an ISF, with the types of variables as far as they are known.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::btf::Kind;

use super::types::TypeTable;
use crate::kernel::known_variables::known_variables;
use crate::kernel::{Kernel, Symbols};
use crate::vmlinux::linked::{Linked, LinkedSymbol};

/// The symbol of the kernel's version as a text, by which volatility finds the file.
const BANNER: &[u8] = b"linux_banner";
/// The longest banner.
const MAX_BANNER: usize = 512;

/// The symbols by name, each as it is written.
#[derive(Debug)]
pub(super) struct SymbolTable {
    all: BTreeMap<String, Value>,
}

impl SymbolTable {
    pub(super) fn new(kernel: &Kernel, symbols: &Symbols, types: &TypeTable<'_>) -> Self {
        let linked = Linked::of(kernel, symbols);
        let sizes = linked.sizes();
        let mut variables = of_btf(types);
        for (name, text) in known_variables() {
            variables.entry(name.as_bytes().to_vec()).or_insert(Of::Text(text));
        }
        let mut all: BTreeMap<String, Value> = BTreeMap::new();
        for (symbol, size) in linked.symbols.iter().zip(sizes) {
            let name = linked.name(symbol);
            let mut value = json!({ "address": symbol.at });
            let of = variables.get(name).and_then(|of| of.descriptor(types, size));
            let text = if name == BANNER { banner(kernel) } else { None };
            if let (Some(value), Some(of)) =
                (value.as_object_mut(), of_banner(text.as_ref()).or(of))
            {
                value.insert("type".to_owned(), of);
            }
            if let (Some(value), Some(text)) = (value.as_object_mut(), text) {
                value.insert("constant_data".to_owned(), STANDARD.encode(text).into());
            }
            let name = String::from_utf8_lossy(name).into_owned();
            // Of several with one name, the global one.
            if is_global(symbol) {
                all.insert(name, value);
            } else {
                all.entry(name).or_insert(value);
            }
        }
        Self { all }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.all.iter()
    }
}

/// The type of a variable.
enum Of {
    /// By its number in BTF.
    Btf(u32),
    /// As C writes it.
    Text(&'static str),
}

impl Of {
    /// How it is written. `None` if BTF has no such type, or more than `available` bytes.
    fn descriptor(&self, types: &TypeTable<'_>, available: u64) -> Option<Value> {
        match self {
            Self::Btf(id) => Some(types.descriptor(*id)),
            Self::Text(text) => declared(types, text, available),
        }
    }
}

/// `struct rq`, `struct task_struct *`, `struct list_head[4]`, `unsigned long`.
fn declared(types: &TypeTable<'_>, text: &str, available: u64) -> Option<Value> {
    let end = text.find(['*', '[']).unwrap_or(text.len());
    let (name, behind) = text.split_at_checked(end)?;
    let btf = types.btf();
    let bare = name.trim().trim_start_matches("struct ").trim_start_matches("union ");
    let id = match types.structure(bare) {
        Some(id) => id,
        None => {
            let is_it = |found: &vmcore_formats::btf::Type<'_>| {
                matches!(found.kind, Kind::Int | Kind::Typedef) && found.name() == bare.as_bytes()
            };
            btf.types().find(is_it).map(|found| found.id).or((bare == "void").then_some(0))?
        }
    };
    let mut value = types.descriptor(id);
    let mut size = btf.size_of(id);
    let mut rest = behind.trim();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('*') {
            value = json!({ "kind": "pointer", "subtype": value });
            size = Some(8);
            rest = behind.trim_start();
            continue;
        }
        let (count, behind) = rest.strip_prefix('[')?.split_once(']')?;
        let element = size.filter(|size| *size > 0)?;
        let count = match count.trim() {
            "" => available.checked_div(element)?,
            number => number.parse().ok()?,
        };
        value = json!({ "kind": "array", "count": count, "subtype": value });
        size = element.checked_mul(count);
        rest = behind.trim_start();
    }
    (size? <= available).then_some(value)
}

/// The types that BTF has of variables.
fn of_btf(types: &TypeTable<'_>) -> HashMap<Vec<u8>, Of> {
    let all = types.btf().types().filter(|found| found.kind == Kind::Var);
    all.map(|found| (found.name().to_vec(), Of::Btf(found.size_or_type))).collect()
}

fn of_banner(banner: Option<&Vec<u8>>) -> Option<Value> {
    let count = banner?.len();
    Some(json!({ "kind": "array", "count": count, "subtype": { "kind": "base", "name": "char" } }))
}

/// The kernel's banner, with its line end and NUL.
fn banner(kernel: &Kernel) -> Option<Vec<u8>> {
    let at = kernel.symbol("linux_banner")?;
    let mut banner = Vec::new();
    while banner.len() < MAX_BANNER {
        let next: VirtAddr = at.wrapping_add(banner.len() as u64);
        // No further than the page that it ends in.
        let bytes = kernel.space.read_vec(next, 1).ok()?;
        banner.extend(&bytes);
        if bytes.contains(&0) {
            return Some(banner);
        }
    }
    None
}

fn is_global(symbol: &LinkedSymbol) -> bool {
    symbol.letter.is_ascii_uppercase()
}
