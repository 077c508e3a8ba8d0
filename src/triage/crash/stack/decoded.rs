//! What `scripts/decode_stacktrace.sh` of the kernel makes of a function's offset.
//!
//! ```text
//! fn (net/core/dev.c:6500 (discriminator 3) net/core/dev.c:6571) module
//! ```
//!
//! Needs: what follows a name. Gives: how long the place is, and the module. Prose that has a name
//! and something in brackets is none: the place has a file and a line, and the line ends behind it.

use super::name::is_name;

/// The most bytes of a place: an inlined function has several files.
const MAX_PLACE: usize = 1024;

/// How long the place is, and the module.
pub(super) fn place(text: &[u8]) -> Option<(usize, Option<&str>)> {
    let inside = text.strip_prefix(b" (")?;
    let inside = inside.get(..inside.len().min(MAX_PLACE))?;
    let close = memchr::memrchr(b')', inside)?;
    let place = inside.get(..close)?;
    let first = place.split(|byte| *byte == b' ').next()?;
    let colon = memchr::memrchr(b':', first)?;
    let (file, line) = (first.get(..colon)?, first.get(colon + 1..)?);
    let is_file = file == b"??" || memchr::memchr(b'.', file).is_some();
    let is_line = line == b"?" || !line.is_empty() && line.iter().all(u8::is_ascii_digit);
    let behind = inside.get(close + 1..)?.trim_ascii();
    let module = behind.strip_prefix(b"[").unwrap_or(behind);
    let module = module.strip_suffix(b"]").unwrap_or(module);
    let is_module = module.iter().all(|byte| is_name(*byte) || *byte == b'-');
    (is_file && is_line && is_module).then_some(())?;
    let module = std::str::from_utf8(module).ok().filter(|module| !module.is_empty());
    Some((close + 3, module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_files_and_lines() {
        assert_eq!(place(b" (fs/read_write.c:570)"), Some((22, None)));
        assert_eq!(place(b" (a.c:1 (discriminator 2) b.h:3) xfs").unwrap().1, Some("xfs"));
        assert_eq!(place(b" (a.c:1) [xfs]").unwrap().1, Some("xfs"));
        assert_eq!(place(b" (??:?)"), Some((7, None)));
        for prose in [" (see below)", " (a.c:1) was here", " (a.c)", " (10:30)", ""] {
            assert_eq!(place(prose.as_bytes()), None, "{prose}");
        }
    }
}
