//! A type as C writes it: `struct swap_info_struct *[27]`.
//!
//! ```text
//! struct X, union X, enum X, or a name    then *...    then [N]..., [ENUMERATOR], or [] for as many as fit
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
}

/// The length of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count<'t> {
    Number(u64),
    /// An enumerator of BTF.
    Enumerator(&'t str),
    /// As many as fit.
    Fit,
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
                Err(_) => Count::Enumerator(count),
            });
        }
        (counts.iter().filter(|count| **count == Count::Fit).count() <= 1).then_some(Self {
            base,
            pointers,
            counts,
        })
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
        for wrong in ["", "*", "int[", "int[][]"] {
            assert_eq!(Declaration::parse(wrong), None, "{wrong}");
        }
    }
}
