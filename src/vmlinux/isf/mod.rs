//! volatility3's intermediate symbol format (ISF), schema 6.2.0.
//!
//! ```text
//! {"metadata": ..., "base_types": numbers, "user_types": structures, "enums": ..., "symbols": ...}
//! ```
//!
//! Needs: a kernel with symbols and BTF. Gives: JSON by which volatility3 reads cores of any boot of
//! this build: addresses are link-time ones, and `linux_banner` has its text, by which the file is
//! found. Typedefs are replaced by what they stand for; what has no name gets one.
//! Source: volatility3's `schemas/schema-6.2.0.json`.

mod symbols;
mod types;

use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;
use thiserror::Error;

use crate::kernel::{Kernel, SymbolsError, TypesError};
use crate::printable::json;
use symbols::SymbolTable;
pub(super) use types::TypeTable;

/// The most bytes of an ISF. Those of kernels have 20 to 40 MB; a hostile BTF may use a long name
/// for each of its members.
const MAX_LENGTH: usize = 256 << 20;

/// Writes no more than is left.
struct Bounded<'o> {
    out: &'o mut dyn Write,
    left: usize,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| {
            io::Error::other(format!("the types take more than {} MiB", MAX_LENGTH >> 20))
        })?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Why no ISF can be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IsfError {
    /// The kernel has no symbols.
    #[error("no symbols can be written: {0}")]
    Symbols(#[from] SymbolsError),
    /// Its types are not known.
    #[error("no types can be written: {0}")]
    Types(#[from] TypesError),
    /// Its layouts were inferred.
    #[error("no types can be written: the kernel's image has no BTF")]
    NoBtf,
}

/// The symbols and types of a kernel.
#[derive(Debug)]
pub struct Isf<'k> {
    types: TypeTable<'k>,
    symbols: SymbolTable,
}

impl<'k> Isf<'k> {
    /// Collects them.
    ///
    /// # Errors
    /// Fails if the kernel has no symbols, or no BTF.
    pub fn of(kernel: &'k Kernel) -> Result<Self, IsfError> {
        let symbols = kernel.symbols().map_err(Clone::clone)?;
        let types = kernel.types().map_err(Clone::clone)?;
        let types = TypeTable::new(types.btf().ok_or(IsfError::NoBtf)?);
        let symbols = SymbolTable::new(kernel, symbols, &types);
        Ok(Self { types, symbols })
    }

    /// Writes them.
    ///
    /// # Errors
    /// Fails if `out` does, or if it is longer than those of all kernels.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        json::line(self, &mut Bounded { out, left: MAX_LENGTH })
    }
}

impl Serialize for Isf<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let producer = json!({ "name": "vmcorectl", "version": env!("CARGO_PKG_VERSION") });
        let mut map = out.serialize_map(Some(5))?;
        map.serialize_entry("metadata", &json!({ "format": "6.2.0", "producer": producer }))?;
        map.serialize_entry("base_types", &Lazy(|| self.types.base_types().into_iter()))?;
        map.serialize_entry("user_types", &Lazy(|| self.types.user_types()))?;
        map.serialize_entry("enums", &Lazy(|| self.types.enumerations()))?;
        map.serialize_entry("symbols", &Lazy(|| self.symbols.all()))?;
        map.end()
    }
}

/// Entries of a map, each made when it is written: all at once would take ten times the file.
struct Lazy<F>(F);

impl<F, I, K, V> Serialize for Lazy<F>
where
    F: Fn() -> I,
    I: Iterator<Item = (K, V)>,
    K: Serialize,
    V: Serialize,
{
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_map((self.0)())
    }
}
