//! The entries of a list or a tree.
//!
//! ```text
//! list_head                                 circular, both ways
//! hlist_node hlist_bl_node llist_node ...   head.first ──► node.next ──► ... 0, or an odd number
//! struct x *next                            pointer ──► x ──► x ──► 0
//! rb_node                                   rb_root ──► in order
//! ```

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use super::PrintError;
use super::types::{CType, Lookup, Shape};
use crate::kernel::budget::{Budget, NODE};
use crate::kernel::types::{List, Tree};

/// The most entries.
const MAX_ENTRIES: usize = 1 << 17;
/// Structures that link a list in one direction: their first member is `next`.
const SINGLY: [&str; 6] =
    ["hlist_node", "hlist_bl_node", "hlist_nulls_node", "llist_node", "rhash_head", "slist_head"];

/// How a member links entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// `list_head`.
    Circular,
    /// A node whose first member leads to the next node.
    Node,
    /// A pointer to the next structure.
    Pointer,
    /// `rb_node`.
    Tree,
}

impl Link {
    /// That of a member for `--list`.
    pub(super) fn of_list(owner: &CType, member: &CType) -> Option<Self> {
        if member.is_structure("list_head") {
            return Some(Self::Circular);
        }
        if SINGLY.iter().any(|name| member.is_structure(name)) {
            return Some(Self::Node);
        }
        let Shape::Pointer(to) = member.shape() else { return None };
        let (to, owner) = (to.btf.strip(to.id)?, owner.btf.strip(owner.id)?);
        (to.kind.is_aggregate() && to.name() == owner.name()).then_some(Self::Pointer)
    }

    /// That of a member for `--rbtree`.
    pub(super) fn of_tree(member: &CType) -> Option<Self> {
        member.is_structure("rb_node").then_some(Self::Tree)
    }

    /// The structures that are linked from a head, where each begins; and what is wrong.
    pub(super) fn entries(
        self,
        lookup: &Lookup<'_>,
        head: VirtAddr,
        offset: u64,
        what: &str,
    ) -> Result<(Vec<VirtAddr>, Option<String>), PrintError> {
        let kernel = lookup.kernel;
        let budget = Budget::of_walk();
        let (nodes, finding) = match self {
            Self::Circular => {
                let list = List::walk(&kernel.space, head, what, MAX_ENTRIES, &budget);
                (list.nodes, list.finding)
            }
            Self::Tree => {
                let tree = Tree::walk(kernel, head, what, MAX_ENTRIES, &budget);
                (tree.nodes, tree.finding)
            }
            Self::Node => follow(lookup, head, 0, what, &budget),
            Self::Pointer => return Ok(follow(lookup, head, offset, what, &budget)),
        };
        Ok((nodes.into_iter().map(|node| node.wrapping_sub(offset)).collect(), finding))
    }
}

/// What pointers lead to, from the one at `head` on: each has the next one `offset` behind its
/// start. An odd number ends some lists.
fn follow(
    lookup: &Lookup<'_>,
    head: VirtAddr,
    offset: u64,
    what: &str,
    budget: &Budget,
) -> (Vec<VirtAddr>, Option<String>) {
    let space = &lookup.kernel.space;
    let mut nodes = Vec::new();
    let mut seen = HashSet::new();
    let mut link = head;
    let broken = loop {
        if budget.take(NODE).is_err() || nodes.len() >= MAX_ENTRIES {
            break format!("it has more than {} entries", nodes.len());
        }
        let next = match space.read_u64(link) {
            // The head's lowest bit may be a lock.
            Ok(next) if link == head => next & !1,
            Ok(next) => next,
            Err(error) => break error.to_string(),
        };
        if next == 0 || next & 1 == 1 {
            return (nodes, None);
        }
        if !seen.insert(next) {
            break format!("{} is in it twice", VirtAddr(next));
        }
        nodes.push(VirtAddr(next));
        link = VirtAddr(next).wrapping_add(offset);
    };
    let finding =
        format!("the list of {what} is damaged: {broken}; {} of them were found", nodes.len());
    (nodes, Some(finding))
}
