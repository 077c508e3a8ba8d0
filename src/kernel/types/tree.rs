//! Red-black trees (`struct rb_root`), in order.
//!
//! ```text
//! rb_root.rb_node ──► node ──rb_left───► nodes that come before it
//!                          ──rb_right──► nodes that come after it
//!                          ──__rb_parent_color──► its parent, with a colour in the lowest bits
//! ```
//!
//! Each node has to point back to its parent. The subtree of one that does not is left out.

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use super::{Object, ObjectError};
use crate::kernel::Kernel;
use crate::kernel::budget::{Budget, NODE};

/// The bits of a node's parent that are no address.
const COLOUR: u64 = 3;

/// The nodes of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Where they are, in order.
    pub nodes: Vec<VirtAddr>,
    /// What is wrong with the tree, as a sentence.
    pub finding: Option<String>,
}

/// A node, and where it leads.
struct Node {
    at: VirtAddr,
    right: VirtAddr,
}

impl Tree {
    /// Walks the tree whose `rb_root` is at `root`, up to `most` nodes and as far as the budget
    /// goes.
    ///
    /// `what` is the plural of what it is a tree of.
    pub(in crate::kernel) fn walk(
        kernel: &Kernel,
        root: VirtAddr,
        what: &str,
        most: usize,
        budget: &Budget,
    ) -> Self {
        let mut tree = Self::default();
        let mut broken = None;
        let mut seen = HashSet::new();
        let mut above: Vec<Node> = Vec::new();
        let first = Object::at(kernel, "rb_root", root).and_then(|root| root.pointer("rb_node"));
        let mut next = first.unwrap_or_else(|error| {
            broken = Some(error.to_string());
            VirtAddr(0)
        });
        let mut parent = VirtAddr(0);
        loop {
            while next.0 != 0 {
                if seen.len() >= most {
                    broken.get_or_insert_with(|| format!("it has more than {most} nodes"));
                    break;
                }
                if let Err(spent) = budget.take(NODE) {
                    broken.get_or_insert_with(|| spent.to_string());
                    break;
                }
                match node(kernel, next) {
                    Ok((back, _, _)) if back != parent => {
                        broken.get_or_insert_with(|| {
                            format!("{parent} leads to {next}, which leads back to {back}")
                        });
                        break;
                    }
                    // One that leads back to two others would have been seen before.
                    Ok(_) if !seen.insert(next) => {
                        broken.get_or_insert_with(|| format!("{next} is in it twice"));
                        break;
                    }
                    Ok((_, left, right)) => {
                        above.push(Node { at: next, right });
                        (parent, next) = (next, left);
                    }
                    Err(error) => {
                        broken.get_or_insert_with(|| error.to_string());
                        break;
                    }
                }
            }
            let Some(node) = above.pop() else { break };
            tree.nodes.push(node.at);
            (parent, next) = (node.at, node.right);
        }
        tree.finding = broken.map(|broken| {
            format!(
                "the tree of {what} is damaged: {broken}; {} of them were found",
                tree.nodes.len()
            )
        });
        tree
    }
}

/// The node above, the one to the left and the one to the right.
fn node(kernel: &Kernel, at: VirtAddr) -> Result<(VirtAddr, VirtAddr, VirtAddr), ObjectError> {
    let node = Object::at(kernel, "rb_node", at)?;
    let parent = VirtAddr(node.u64("__rb_parent_color")? & !COLOUR);
    Ok((parent, node.pointer("rb_left")?, node.pointer("rb_right")?))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
