//! Names of functions, as a crash is named by them.
//!
//! Needs: a symbol as printed. Gives: the function's name, the same for every build, and no longer
//! than the kernel lets a name be: a mangled name of 235 bytes can have a million letters.

use std::fmt::Write;

use vmcore_formats::text::{BoundedText, MAX_NAME, bounded};

/// Whether a byte can be part of a symbol.
pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$')
}

/// Prefixes that a system call's entry has, by the machine and the kernel's age.
const SYSCALL_PREFIXES: [&str; 15] = [
    "____sys_",
    "___sys_",
    "__sys_",
    "sys_",
    "__se_sys_",
    "__do_sys_",
    "__se_",
    "SYSC_",
    "SyS_",
    "compat_SYSC_",
    "compat_SyS_",
    "ksys_",
    "__x64_",
    "__ia32_",
    "__arm64_",
];

/// A symbol without what compilers and the ELF v1 calling convention add: `.isra.0`, `.cold`,
/// `.part.3`, `.llvm.123`, a leading point.
pub(crate) fn normalised(symbol: &str) -> &str {
    let symbol = symbol.strip_prefix('.').unwrap_or(symbol);
    match symbol.find('.') {
        Some(at) if at > 0 => symbol.get(..at).unwrap_or(symbol),
        _ => symbol,
    }
}

/// A function's name: normalised, and demangled if it is mangled.
pub(crate) fn of(symbol: &str) -> String {
    let symbol = normalised(symbol);
    demangled(symbol).unwrap_or_else(|| bounded(symbol, MAX_NAME))
}

/// A function's name without one system call prefix: that which leaves the shortest rest.
pub(crate) fn without_syscall_prefix(name: &str) -> &str {
    let rests = SYSCALL_PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix));
    rests.filter(|rest| !rest.is_empty()).min_by_key(|rest| rest.len()).unwrap_or(name)
}

/// A name as its language has it: Rust's and C++'s symbols are mangled.
///
/// Returns `None` for one that is longer than a symbol of the kernel.
pub(crate) fn demangled(symbol: &str) -> Option<String> {
    if symbol.len() > MAX_NAME {
        return None;
    }
    if symbol.starts_with("_R") || symbol.starts_with("_ZN") {
        let name = rustc_demangle::try_demangle(symbol).ok()?;
        let mut text = BoundedText::new(MAX_NAME);
        // It fails where the name is cut.
        let _ = write!(text, "{name:#}");
        return Some(text.finish());
    }
    // C++'s, as far as its own name goes: `_Z8functioniii`.
    let rest = symbol.strip_prefix("_Z")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let length: usize = rest.get(..digits)?.parse().ok()?;
    rest.get(digits..digits.checked_add(length)?).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_compiler_adds_goes() {
        for (symbol, name) in [
            ("do_exit", "do_exit"),
            ("do_ip_setsockopt.isra.12", "do_ip_setsockopt"),
            ("__warn.cold", "__warn"),
            ("f.constprop.0.isra.0", "f"),
            (".schedule", "schedule"),
            ("x.llvm.1234567", "x"),
        ] {
            assert_eq!(normalised(symbol), name);
        }
    }

    #[test]
    fn mangled_names_are_read() {
        assert_eq!(demangled("_Z8fakeNameiii").as_deref(), Some("fakeName"));
        assert_eq!(demangled("_RNvC6kernel4init").as_deref(), Some("kernel::init"));
        assert_eq!(
            demangled("_ZN4core9panicking5panic17h0123456789abcdefE").as_deref(),
            Some("core::panicking::panic")
        );
        for plain in ["do_exit", "_Z", "_Z99x", "_R", "_Z18446744073709551616x"] {
            assert_eq!(demangled(plain), None, "{plain}");
        }
    }

    /// Each tuple has the one before eight times.
    fn nested(levels: usize) -> String {
        let mut symbol = "_RINvC1a1fThhhhhhhhE".to_owned();
        let mut start = 8;
        for _ in 0..levels {
            let back = |mut value: usize| {
                let mut digits = Vec::new();
                // A number is one less than its digits in base 62 say; 0 has none.
                if let Some(less) = value.checked_sub(1) {
                    value = less;
                    loop {
                        let digit =
                            b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
                        digits.insert(0, digit[value % 62]);
                        value /= 62;
                        if value == 0 {
                            break;
                        }
                    }
                }
                format!("B{}_", String::from_utf8(digits).unwrap())
            };
            let next = symbol.len() - 2;
            symbol += &format!("T{}E", back(start).repeat(8));
            start = next;
        }
        symbol + "E"
    }

    /// See the incident: a title of 1,000,076 letters, from a symbol of 235 bytes.
    #[test]
    fn a_demangled_name_is_no_longer_than_a_symbol() {
        for levels in 0..7 {
            let symbol = nested(levels);
            let name = demangled(&symbol).unwrap_or_else(|| panic!("{symbol}"));
            assert!(name.starts_with("a::f::<(u8, u8") && name.len() <= MAX_NAME, "{name}");
            assert_eq!(name.ends_with('…'), levels > 1, "{levels}: {name}");
        }
        let (long, path) = ("x".repeat(100_000), "4core".repeat(50_000));
        for symbol in [long.clone(), format!("_Z100000{long}"), format!("_ZN{path}E")] {
            assert!(of(&symbol).len() <= MAX_NAME);
        }
    }

    #[test]
    fn one_system_call_prefix_goes() {
        for (symbol, name) in [
            ("__x64_sys_open", "sys_open"),
            ("__se_sys_open", "open"),
            ("SyS_pause", "pause"),
            ("ksys_write", "write"),
            ("__ia32_sys_inotify_init", "sys_inotify_init"),
            ("sys_openat2", "openat2"),
            ("vfs_write", "vfs_write"),
        ] {
            assert_eq!(without_syscall_prefix(symbol), name);
        }
    }
}
