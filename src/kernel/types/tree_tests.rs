use super::*;
use crate::kernel::test_kernel::Member::Number;
use crate::kernel::test_kernel::{DIRECT, Noise, TestKernel};

const ROOT: u64 = DIRECT + 0x1_0000;

fn at(index: u64) -> u64 {
    DIRECT + 0x2_0000 + index * 0x40
}

/// A balanced tree of `count` nodes, in the order of their addresses. Every other level is black.
fn tree(count: u64) -> TestKernel {
    let mut kernel = TestKernel::new();
    kernel.structure("rb_root", 8, &[("rb_node", Number(8), 0)]);
    let members = [
        ("__rb_parent_color", Number(8), 0),
        ("rb_right", Number(8), 8),
        ("rb_left", Number(8), 16),
    ];
    kernel.structure("rb_node", 24, &members);
    let top = grow(&mut kernel, 0, count, 0, 0);
    kernel.words(ROOT, &[top])
}

/// Puts the nodes from `start` to `end` below `parent`. Gives the one above all others.
fn grow(kernel: &mut TestKernel, start: u64, end: u64, parent: u64, level: u64) -> u64 {
    if start == end {
        return 0;
    }
    let middle = u64::midpoint(start, end);
    let left = grow(kernel, start, middle, at(middle), level + 1);
    let right = grow(kernel, middle + 1, end, at(middle), level + 1);
    for (offset, word) in [(0, parent | (level & 1)), (8, right), (16, left)] {
        kernel.write(at(middle) + offset, &u64::to_le_bytes(word));
    }
    at(middle)
}

fn walk(kernel: &TestKernel, most: usize) -> (Vec<u64>, Option<String>) {
    let tree = Tree::walk(&kernel.build(), VirtAddr(ROOT), "things", most, &Budget::of_walk());
    (tree.nodes.iter().map(|node| node.0).collect(), tree.finding)
}

#[test]
fn a_tree_is_walked_in_its_order() {
    for count in [0, 1, 2, 3, 100] {
        assert_eq!(walk(&tree(count), 100), ((0..count).map(at).collect(), None));
    }
}

#[test]
fn a_tree_that_is_larger_than_wanted_is_cut_and_reported() {
    let (nodes, finding) = walk(&tree(100), 10);
    assert_eq!(nodes.len(), 10);
    assert!(finding.unwrap().contains("more than 10 nodes"));
}

#[test]
fn a_tree_takes_its_nodes_from_a_budget() {
    let budget = Budget::of(15 * NODE);
    let walk = || Tree::walk(&tree(10).build(), VirtAddr(ROOT), "things", 100, &budget);
    assert_eq!((walk().nodes.len(), walk().nodes.len()), (10, 5));
    assert!(walk().finding.unwrap().contains("it takes more than is read"));
}

#[test]
fn a_node_that_leads_elsewhere_costs_what_hangs_on_it() {
    // The root is node 50; its right child has the nodes behind it.
    for word in [8, DIRECT + 0x3_0000, u64::MAX, at(3), at(50)] {
        let (nodes, finding) = walk(&tree(100).words(at(50) + 8, &[word]), 1000);
        assert_eq!(nodes, (0..=50).map(at).collect::<Vec<_>>(), "{word:#x}");
        assert!(finding.unwrap().contains("the tree of things is damaged"), "{word:#x}");
    }
}

#[test]
fn a_circle_ends() {
    // The last node's right child is the root, which is said to be below it.
    let kernel = tree(100).words(at(99) + 8, &[at(50)]).words(at(50), &[at(99)]);
    let (nodes, finding) = walk(&kernel, 1000);
    assert!(nodes.len() <= 100 && finding.is_some());
}

#[test]
fn a_root_that_is_not_there_is_a_finding() {
    let (kernel, budget) = (tree(3).build(), Budget::of_walk());
    let tree = Tree::walk(&kernel, VirtAddr(0x1000), "things", 10, &budget);
    assert!(tree.nodes.is_empty() && tree.finding.is_some());
}

#[test]
fn random_damage_ends_and_gives_each_node_once() {
    let whole = tree(60);
    let mut noise = Noise(0x51_7cc1_b727_220a);
    let mut damaged = 0;
    for _ in 0..300 {
        let mut kernel = whole.clone();
        for _ in 0..=noise.below(4) {
            let place = at(noise.below(60)) + 8 * noise.below(3);
            let word = if noise.below(2) == 0 { at(noise.below(60)) } else { noise.next() };
            kernel.write(place, &word.to_le_bytes());
        }
        let (nodes, finding) = walk(&kernel, 70);
        let unique: HashSet<_> = nodes.iter().collect();
        assert_eq!(unique.len(), nodes.len());
        assert!(nodes.len() <= 70 && (finding.is_some() || nodes.len() == 60));
        damaged += usize::from(finding.is_some());
    }
    assert!(damaged > 250, "{damaged}");
}
