//! Linked lists (`struct list_head`).
//!
//! ```text
//! head ──next──► node ──next──► node ──next──► head
//!      ◄──prev──      ◄──prev──      ◄──prev──
//! ```
//!
//! `Kernel::list` gives the structures themselves (`container_of` of each node). All lists that
//! are walked for one part of a kernel share its budget. A list is walked by `next`, and each node's `prev` has
//! to point back. Behind a break, the rest is walked from the other end. A list that was being
//! changed when the guest stopped looks the same as one that was overwritten.

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use super::TypeError;
use crate::kernel::budget::{Budget, NODE};
use crate::kernel::page_tables::ReadError;
use crate::kernel::{AddressSpace, Kernel};

/// The most nodes of one list. Linux has no more tasks, of which there are the most.
const MAX_NODES: usize = 1 << 17;

/// The nodes of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Where they are, in order; the head is not one of them.
    pub nodes: Vec<VirtAddr>,
    /// What is wrong with the list, as a sentence.
    pub finding: Option<String>,
}

impl List {
    /// Walks the list whose head is at `head`, up to `most` nodes and as far as the budget goes.
    ///
    /// `what` is the plural of what it is a list of.
    pub(in crate::kernel) fn walk(
        space: &AddressSpace,
        head: VirtAddr,
        what: &str,
        most: usize,
        budget: &Budget,
    ) -> Self {
        if let Err(spent) = budget.take(NODE) {
            let finding = format!("the list of {what} was not read: {spent}");
            return Self { nodes: Vec::new(), finding: Some(finding) };
        }
        let (next, prev) = match links(space, head) {
            Ok(links) => links,
            Err(error) => {
                let finding = format!("the list of {what} cannot be read: {error}");
                return Self { nodes: Vec::new(), finding: Some(finding) };
            }
        };
        let mut seen = HashSet::new();
        let forward = Direction { space, head, most, budget, forward: true };
        let (mut nodes, broken) = forward.follow(next, &mut seen);
        let Some(broken) = broken else { return Self { nodes, finding: None } };
        let backward = Direction { forward: false, ..forward };
        let (mut rest, _) = backward.follow(prev, &mut seen);
        let gained = rest.len();
        rest.reverse();
        nodes.extend(rest);
        let finding = format!(
            "the list of {what} is damaged: {broken}; {} of them were found, {gained} from its end",
            nodes.len()
        );
        Self { nodes, finding: Some(finding) }
    }
}

/// A list of structures, by the member that links them.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct ListOf<'n> {
    /// The type of the structures.
    pub(in crate::kernel) structure: &'n str,
    /// Their `list_head`.
    pub(in crate::kernel) member: &'n str,
    /// The plural of what they are, for findings.
    pub(in crate::kernel) what: &'n str,
}

impl Kernel {
    /// The structures that a list links, whose head is at `head`: where each begins.
    ///
    /// # Errors
    /// Fails if the kernel's types have no such structure, or no such member in it.
    pub(in crate::kernel) fn list(
        &self,
        head: VirtAddr,
        of: ListOf<'_>,
        budget: &Budget,
    ) -> Result<List, TypeError> {
        let ListOf { structure, member, what } = of;
        let no_type = |_| TypeError::NoType { name: structure.to_owned() };
        let offset = self.types().map_err(no_type)?.offset(structure, member)?;
        let mut list = List::walk(&self.space, head, what, MAX_NODES, budget);
        for node in &mut list.nodes {
            *node = node.wrapping_sub(offset);
        }
        Ok(list)
    }
}

/// A direction.
#[derive(Clone, Copy)]
struct Direction<'s> {
    space: &'s AddressSpace,
    head: VirtAddr,
    most: usize,
    budget: &'s Budget,
    forward: bool,
}

impl Direction<'_> {
    /// The nodes from `first` on, and why they end before the head.
    fn follow(
        self,
        first: VirtAddr,
        seen: &mut HashSet<VirtAddr>,
    ) -> (Vec<VirtAddr>, Option<String>) {
        let (mut node, mut before) = (first, self.head);
        let mut nodes = Vec::new();
        while node != self.head {
            if seen.len() >= self.most {
                return (nodes, Some(format!("it has more than {} nodes", self.most)));
            }
            if let Err(spent) = self.budget.take(NODE) {
                return (nodes, Some(spent.to_string()));
            }
            let (ahead, back) = match links(self.space, node) {
                Ok((next, prev)) if self.forward => (next, prev),
                Ok((next, prev)) => (prev, next),
                Err(error) => return (nodes, Some(format!("behind {before}: {error}"))),
            };
            if back != before {
                let broken = format!("{before} leads to {node}, which leads back to {back}");
                return (nodes, Some(broken));
            }
            if !seen.insert(node) {
                return (nodes, Some(format!("{node} is in it twice")));
            }
            nodes.push(node);
            (before, node) = (node, ahead);
        }
        (nodes, None)
    }
}

/// `next` and `prev`.
fn links(space: &AddressSpace, at: VirtAddr) -> Result<(VirtAddr, VirtAddr), ReadError> {
    let mut bytes = [0; 16];
    space.read(at, &mut bytes)?;
    let [n0, n1, n2, n3, n4, n5, n6, n7, prev @ ..] = bytes;
    let pointer = |bytes| VirtAddr(space.endian().u64(bytes));
    Ok((pointer([n0, n1, n2, n3, n4, n5, n6, n7]), pointer(prev)))
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
