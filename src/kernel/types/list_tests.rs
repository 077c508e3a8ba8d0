use super::*;
use crate::kernel::test_kernel::Member::Number;
use crate::kernel::test_kernel::{DIRECT, Noise, TestKernel};

const HEAD: u64 = DIRECT + 0x1_0000;

/// Where the list's nodes are, in order: not in that of memory.
fn nodes(count: u64) -> Vec<u64> {
    (0..count).map(|index| DIRECT + 0x2_0000 + (index * 7 % count) * 0x40).collect()
}

fn walk(kernel: &TestKernel, most: usize) -> List {
    List::walk(&kernel.build().space, VirtAddr(HEAD), "things", most, &Budget::of_walk())
}

fn addresses(list: &List) -> Vec<u64> {
    list.nodes.iter().map(|node| node.0).collect()
}

#[test]
fn a_list_is_walked_in_its_order() {
    for count in [0, 1, 2, 100] {
        let kernel = TestKernel::new().list(HEAD, &nodes(count));
        let list = walk(&kernel, 100);
        assert_eq!((addresses(&list), list.finding), (nodes(count), None));
    }
}

#[test]
fn a_list_that_is_longer_than_wanted_is_cut_and_reported() {
    let list = walk(&TestKernel::new().list(HEAD, &nodes(100)), 10);
    assert_eq!(addresses(&list), nodes(100)[..10]);
    assert!(list.finding.unwrap().contains("more than 10 nodes"));
}

#[test]
fn one_node_that_is_overwritten_costs_itself_alone() {
    let nodes = nodes(20);
    for word in [0, 8, DIRECT + 0x3_0000, HEAD, u64::MAX] {
        // Its own links; and it is led to from both sides.
        let kernel = TestKernel::new().list(HEAD, &nodes).words(nodes[9], &[word, word]);
        let list = walk(&kernel, 100);
        let found = addresses(&list);
        assert_eq!(found[..9], nodes[..9], "{word:#x}");
        assert_eq!(found[found.len() - 10..], nodes[10..], "{word:#x}");
        assert!(list.finding.unwrap().contains("the list of things is damaged"));
    }
}

#[test]
fn a_link_that_leads_back_ends_and_the_rest_comes_from_the_other_end() {
    let nodes = nodes(20);
    for back in [0, 4, 9] {
        let kernel = TestKernel::new().list(HEAD, &nodes);
        let kernel = kernel.bytes(nodes[9], &nodes[back].to_le_bytes());
        let list = walk(&kernel, 100);
        assert_eq!(addresses(&list), nodes, "{back}");
        assert!(list.finding.unwrap().contains("20 of them were found, 10 from its end"));
    }
}

#[test]
fn a_circle_without_the_head_ends() {
    let nodes = nodes(20);
    // The last leads to the third, and that back to the last: from the head there are two.
    let kernel = TestKernel::new().list(HEAD, &nodes);
    let kernel = kernel.bytes(nodes[19], &nodes[2].to_le_bytes());
    let list = walk(&kernel.bytes(nodes[2] + 8, &nodes[19].to_le_bytes()), 100);
    assert!(list.finding.as_ref().unwrap().contains("2 of them were found, 0 from its end"));
    assert_eq!(addresses(&list), nodes[..2]);
}

#[test]
fn a_head_that_is_not_there_is_a_finding() {
    let (space, budget) = (TestKernel::new().build().space, Budget::of_walk());
    let list = List::walk(&space, VirtAddr(0x1000), "things", 10, &budget);
    assert!(list.nodes.is_empty());
    assert!(list.finding.unwrap().starts_with("the list of things cannot be read: "));
}

#[test]
fn random_damage_ends_and_gives_each_node_once() {
    let nodes = nodes(50);
    let whole = TestKernel::new().list(HEAD, &nodes);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut damaged = 0;
    for _ in 0..300 {
        let mut kernel = whole.clone();
        for _ in 0..=noise.below(4) {
            let node = nodes[noise.below(50) as usize] + 8 * noise.below(2);
            // Another node of the list, or anything.
            let other = nodes[noise.below(50) as usize];
            let word = if noise.below(2) == 0 { other } else { noise.next() };
            kernel.write(node, &word.to_le_bytes());
        }
        let list = walk(&kernel, 60);
        let unique: HashSet<_> = list.nodes.iter().collect();
        assert_eq!(unique.len(), list.nodes.len());
        assert!(list.nodes.len() <= 60);
        assert!(list.finding.is_some() || addresses(&list) == nodes);
        damaged += usize::from(list.finding.is_some());
    }
    assert!(damaged > 250, "{damaged}");
}

/// Thousands of heads that share one long list took as many walks through all of it.
#[test]
fn all_lists_of_one_part_share_its_budget() {
    let mut kernel = TestKernel::new();
    kernel.structure("thing", 24, &[("number", Number(8), 0), ("list", Number(8), 8)]);
    let (head, thing) = (DIRECT + 0x8000, DIRECT + 0x9000);
    let kernel = kernel.list(head, &[thing + 8]).build();
    let of = ListOf { structure: "thing", member: "list", what: "things" };
    // A head and a node.
    let budget = Budget::of(3 * NODE);
    let walk = || kernel.list(VirtAddr(head), of, &budget).unwrap();
    assert_eq!(walk(), List { nodes: vec![VirtAddr(thing)], finding: None });
    for what in ["the list of things is damaged: it takes more", "the list of things was not read"]
    {
        let spent = walk();
        let finding = spent.finding.unwrap();
        assert!(spent.nodes.is_empty() && finding.contains(what), "{finding}");
    }
}
