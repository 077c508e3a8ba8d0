//! A `System.map`: the kernel's symbols as `nm` lists them, at link-time addresses.
//!
//! ```text
//! ffffffff81000000 T _text
//! ```

use std::io::{self, Write};

use super::linked::Linked;
use crate::kernel::{Kernel, SymbolsError};

/// Writes it. Gives how many symbols were left out, whose names are none.
///
/// # Errors
/// The outer error is that of `out`. Fails if the kernel has no symbols.
pub fn system_map(kernel: &Kernel, out: &mut dyn Write) -> io::Result<Result<u32, SymbolsError>> {
    let symbols = match kernel.symbols() {
        Ok(symbols) => symbols,
        Err(error) => return Ok(Err(error.clone())),
    };
    let linked = Linked::of(kernel, symbols);
    for symbol in &linked.symbols {
        write!(out, "{:016x} {} ", symbol.at, char::from(symbol.letter))?;
        out.write_all(linked.name(symbol))?;
        writeln!(out)?;
    }
    Ok(Ok(linked.left_out))
}
