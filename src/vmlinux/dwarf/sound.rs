//! Which references between types a debugger can follow to their end.
//!
//! ```text
//! by value    typedef, qualifier, array, member          no type may contain itself
//! to print    the same and pointers, prototypes; not     every cycle has to pass through a
//!             into what has a name of its own            structure or union with a name
//! ```
//!
//! C's types are like this. Those of a damaged or hostile BTF need not be, and debuggers follow
//! them without end. A reference that closes a cycle, that nests too deep, or behind which there
//! is too much is cut: the type that has it does not refer to anything instead.

use std::collections::HashSet;

use vmcore_formats::btf::{Btf, Kind, Type};

/// The deepest nesting. A kernel's types have 20 levels.
const MAX_HEIGHT: u16 = 200;
/// How many types may be behind one, each counted as often as it occurs.
const MAX_BY_VALUE: u32 = 1 << 20;
const MAX_PRINTED: u32 = 1 << 16;
/// The most parameters of a function that are looked at.
pub(super) const MAX_PARAMETERS: usize = 64;
/// The size of a pointer.
const POINTER: u64 = 8;
/// The largest array, in bytes, and the longest one of elements without a size.
const MAX_ARRAY: u64 = 1 << 30;
const MAX_EMPTY: u32 = 1 << 16;

/// What was found out about all types of a BTF.
#[derive(Debug)]
pub(in crate::vmlinux) struct Sound {
    cut: HashSet<(u32, u32)>,
    sizes: Vec<Option<u64>>,
    sizes_of_arrays: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    New,
    Open,
    Done,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    state: State,
    height: u16,
    weight: u32,
}

impl Sound {
    /// Looks at all types, those of the base included.
    pub(in crate::vmlinux) fn of(btf: &Btf) -> Self {
        let all: Vec<u32> = (1..btf.next_id()).collect();
        Self::of_types(btf, &all)
    }

    /// Looks at types, and those behind them.
    pub(super) fn of_types(btf: &Btf, roots: &[u32]) -> Self {
        let count = index(btf.next_id());
        let mut sound = Self { cut: HashSet::new(), sizes: vec![None; count], sizes_of_arrays: 0 };
        sound.walk(btf, roots, MAX_BY_VALUE, true, by_value);
        sound.walk(btf, roots, MAX_PRINTED, false, to_print);
        sound
    }

    /// The size of a type in bytes, if it has one.
    pub(in crate::vmlinux) fn size(&self, id: u32) -> Option<u64> {
        self.sizes.get(index(id)).copied().flatten()
    }

    /// Whether a type may refer to another.
    pub(in crate::vmlinux) fn allows(&self, from: u32, to: u32) -> bool {
        self.cut.is_empty() || !self.cut.contains(&(from, to))
    }

    /// What was wrong, as sentences.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if !self.cut.is_empty() {
            findings.push(format!(
                "{} references between types were cut: they lead back to themselves, or are nested too deep",
                self.cut.len()
            ));
        }
        if self.sizes_of_arrays > 0 {
            let count = self.sizes_of_arrays;
            findings.push(format!("{count} types are arrays that are too large for any memory"));
        }
        findings
    }

    fn walk(
        &mut self,
        btf: &Btf,
        roots: &[u32],
        max_weight: u32,
        with_sizes: bool,
        edges: fn(&Type<'_>, &mut dyn FnMut(u32)),
    ) {
        let mut nodes = vec![Node::default(); self.sizes.len()];
        let mut stack: Vec<u32> = Vec::new();
        for root in roots {
            stack.push(*root);
            while let Some(id) = stack.pop() {
                let Some(node) = nodes.get_mut(index(id)) else { continue };
                let state = node.state;
                if state == State::Done {
                    continue;
                }
                let Some(found) = btf.by_id(id) else {
                    node.state = State::Done;
                    continue;
                };
                node.state = State::Open;
                if state == State::New {
                    stack.push(id);
                    edges(&found, &mut |to| match nodes.get(index(to)).map(|node| node.state) {
                        Some(State::New) => stack.push(to),
                        Some(State::Open) => {
                            self.cut.insert((id, to));
                        }
                        _ => {}
                    });
                    continue;
                }
                let (mut height, mut weight) = (0_u16, 1_u32);
                edges(&found, &mut |to| {
                    let Some(node) = nodes.get(index(to)).filter(|_| self.allows(id, to)) else {
                        return;
                    };
                    let heavier = weight.saturating_add(node.weight);
                    if node.height >= MAX_HEIGHT || heavier > max_weight {
                        self.cut.insert((id, to));
                        return;
                    }
                    (height, weight) = (height.max(node.height), heavier);
                });
                if let Some(node) = nodes.get_mut(index(id)) {
                    *node = Node { state: State::Done, height: height.saturating_add(1), weight };
                }
                if with_sizes {
                    let size = self.compute_size(&found);
                    if let Some(known) = self.sizes.get_mut(index(id)) {
                        *known = size;
                    }
                }
            }
        }
    }

    fn compute_size(&mut self, found: &Type<'_>) -> Option<u64> {
        let id = found.id;
        match found.kind {
            Kind::Ptr => Some(POINTER),
            Kind::Int | Kind::Float | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => {
                Some(found.size_or_type.into())
            }
            Kind::Array => {
                let array = found.array()?;
                let element =
                    self.size(array.element).filter(|_| self.allows(id, array.element))?;
                let size =
                    element.checked_mul(array.count.into()).filter(|size| *size <= MAX_ARRAY);
                let size = size.filter(|_| element > 0 || array.count <= MAX_EMPTY);
                if size.is_none() {
                    self.sizes_of_arrays = self.sizes_of_arrays.saturating_add(1);
                }
                size
            }
            kind if kind.is_alias() && kind != Kind::Var => {
                self.size(found.size_or_type).filter(|_| self.allows(id, found.size_or_type))
            }
            _ => None,
        }
    }
}

fn by_value(found: &Type<'_>, visit: &mut dyn FnMut(u32)) {
    match found.kind {
        Kind::Struct | Kind::Union => found.members().for_each(|member| visit(member.id)),
        Kind::Array => found.array().into_iter().for_each(|array| visit(array.element)),
        kind if kind.is_alias() && kind != Kind::Var => visit(found.size_or_type),
        _ => {}
    }
}

fn to_print(found: &Type<'_>, visit: &mut dyn FnMut(u32)) {
    match found.kind {
        Kind::Struct | Kind::Union if !found.name().is_empty() => {}
        Kind::Ptr => visit(found.size_or_type),
        Kind::FuncProto => {
            visit(found.size_or_type);
            found.parameters().take(MAX_PARAMETERS).for_each(|parameter| visit(parameter.id));
        }
        _ => by_value(found, visit),
    }
}

fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}
