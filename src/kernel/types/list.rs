//! Structures that are linked to each other.
//!
//! ```text
//! head ──next──► node ──next──► node ──next──► head
//!      ◄──prev──      ◄──prev──      ◄──prev──
//! ```
//!
//! A list is walked by `next`, and each node's `prev` has to lead back. Where it is
//! broken, the rest is walked from its other end. A list that was being changed when the
//! guest stopped looks the same as one that was overwritten.

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use crate::kernel::AddressSpace;
use crate::kernel::page_tables::ReadError;

/// The nodes of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Where they are, in order; the head is not one of them.
    pub nodes: Vec<VirtAddr>,
    /// What is wrong with the list, as a sentence.
    pub finding: Option<String>,
}

impl List {
    /// Walks the list whose head is at `head`, up to `most` nodes.
    ///
    /// `what` is the plural of what it is a list of.
    #[must_use]
    pub fn walk(space: &AddressSpace, head: VirtAddr, what: &str, most: usize) -> Self {
        let (next, prev) = match links(space, head) {
            Ok(links) => links,
            Err(error) => {
                let finding = format!("the list of {what} cannot be read: {error}");
                return Self { nodes: Vec::new(), finding: Some(finding) };
            }
        };
        let mut seen = HashSet::new();
        let forward = Way { space, head, most, forward: true };
        let (mut nodes, broken) = forward.follow(next, &mut seen);
        let Some(broken) = broken else { return Self { nodes, finding: None } };
        let backward = Way { forward: false, ..forward };
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

/// A direction.
#[derive(Clone, Copy)]
struct Way<'s> {
    space: &'s AddressSpace,
    head: VirtAddr,
    most: usize,
    forward: bool,
}

impl Way<'_> {
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
