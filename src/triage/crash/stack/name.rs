//! Names of functions, as a crash is named by them.
//!
//! Needs: a symbol as printed. Gives: the function's name, the same for every build.

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
    demangled(symbol).unwrap_or_else(|| symbol.to_owned())
}

/// A function's name without one system call prefix: that which leaves the shortest rest.
pub(crate) fn without_syscall_prefix(name: &str) -> &str {
    let rests = SYSCALL_PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix));
    rests.filter(|rest| !rest.is_empty()).min_by_key(|rest| rest.len()).unwrap_or(name)
}

/// A name as its language has it: Rust's and C++'s symbols are mangled.
pub(crate) fn demangled(symbol: &str) -> Option<String> {
    if symbol.starts_with("_R") || symbol.starts_with("_ZN") {
        let name = rustc_demangle::try_demangle(symbol).ok()?;
        return Some(format!("{name:#}"));
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
