//! A type as C writes it: `struct swap_info_struct *[27]`.
//!
//! ```text
//! struct X, union X, enum X, or a name    then *...    then [N]..., [ENUMERATOR], [] for as many as fit,
//!                                                      or [...] for as many of these as are used
//! struct { NAME-OF-A-TYPE MEMBER; ... }   the structure without a name of one variable
//! ```

/// What pointers and arrays are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base<'t> {
    Void,
    Struct(&'t str),
    Union(&'t str),
    Enum(&'t str),
    /// An integer or a typedef.
    Named(&'t str),
    /// What is between the braces of a structure without a name.
    Members(&'t str),
}

/// The length of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count<'t> {
    Number(u64),
    /// An enumerator of BTF.
    Enumerator(&'t str),
    /// As many as fit.
    Fit,
    /// As many of these as there are up to the last that is not zero.
    Used,
}

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::vmlinux) struct Declaration<'t> {
    pub(super) base: Base<'t>,
    /// How many pointers to it.
    pub(super) pointers: usize,
    /// The lengths of arrays, the outermost one first.
    pub(super) counts: Vec<Count<'t>>,
}

impl<'t> Declaration<'t> {
    /// Reads a type.
    pub(in crate::vmlinux) fn parse(text: &'t str) -> Option<Self> {
        let text = text.trim();
        if let Some(body) = text.strip_prefix("struct {") {
            let base = Base::Members(body.strip_suffix('}')?);
            return Some(Self { base, pointers: 0, counts: Vec::new() });
        }
        let base_end = text.find(['*', '[']).unwrap_or(text.len());
        let (base, rest) = text.split_at_checked(base_end)?;
        let base = base.trim();
        let base = match base.split_once(' ') {
            _ if base == "void" => Base::Void,
            Some(("struct", name)) => Base::Struct(name),
            Some(("union", name)) => Base::Union(name),
            Some(("enum", name)) => Base::Enum(name),
            _ if !base.is_empty() => Base::Named(base),
            _ => return None,
        };
        let arrays = rest.trim_start_matches(['*', ' ']);
        let pointers = rest.bytes().filter(|byte| *byte == b'*').count();
        let mut counts = Vec::new();
        for part in arrays.split('[').skip(1) {
            let count = part.trim().strip_suffix(']')?;
            counts.push(match count.parse() {
                Ok(number) => Count::Number(number),
                Err(_) if count.is_empty() => Count::Fit,
                Err(_) if count == "..." => Count::Used,
                Err(_) => Count::Enumerator(count),
            });
        }
        let is_open = |count: &&Count<'_>| matches!(count, Count::Fit | Count::Used);
        let one = counts.iter().filter(is_open).count() <= 1;
        one.then_some(Self { base, pointers, counts })
    }

    /// Whether what is zero at its end does not belong to it.
    pub(in crate::vmlinux) fn ends_where_zeros_begin(&self) -> bool {
        self.counts.contains(&Count::Used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_c_writes_them() {
        let read = |text| Declaration::parse(text).unwrap();
        let plain = read("struct task_struct");
        assert_eq!(
            plain,
            Declaration { base: Base::Struct("task_struct"), pointers: 0, counts: vec![] }
        );
        let array = read("struct swap_info_struct *[27][]");
        assert_eq!((array.base, array.pointers), (Base::Struct("swap_info_struct"), 1));
        assert_eq!(array.counts, [Count::Number(27), Count::Fit]);
        assert_eq!(read("int[NR]").counts, [Count::Enumerator("NR")]);
        assert_eq!(read("long unsigned int").base, Base::Named("long unsigned int"));
        assert_eq!(read("void *").base, Base::Void);
        let used = read("char *[...]");
        assert!(used.ends_where_zeros_begin() && !array.ends_where_zeros_begin());
        assert_eq!(
            read("struct { u32 a; struct b c; }").base,
            Base::Members(" u32 a; struct b c; ")
        );
        for wrong in ["", "*", "int[", "int[][]", "int[][...]", "struct { int a;"] {
            assert_eq!(Declaration::parse(wrong), None, "{wrong}");
        }
    }
}
