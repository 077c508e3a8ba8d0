//! What QEMU's monitor prints for people of its memory, and the mappings of a process.

use vmcore_formats::flat_view::{MAX_RANGES, blocks, translation};
use vmcore_formats::process_map::Mapping;

use crate::limits::{SMALL, within};

/// A text, as each of the three answers.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let text = String::from_utf8_lossy(input);
        match blocks(&text) {
            Ok(blocks) => {
                assert!(blocks.len() <= MAX_RANGES, "{} blocks", blocks.len());
                for block in &blocks {
                    assert!(block.start <= block.last, "{block:?} is a range");
                    one(&text, block.start, &block.region);
                }
                for pair in blocks.windows(2) {
                    let [before, after] = pair else { continue };
                    assert!(before.last < after.start, "{before:?} is before {after:?}");
                }
            }
            Err(error) => drop(error.to_string()),
        }
        one(&text, 0x10_0000, "pc.ram");
        for mapping in text.lines().filter_map(Mapping::decode) {
            assert!(mapping.start < mapping.end, "{mapping:?} is a range");
        }
    });
}

/// The answer about an address, of which no other line may be taken for.
fn one(text: &str, physical: u64, region: &str) {
    for answer in text.lines() {
        match translation(answer, physical, region) {
            Ok(host) => assert!(host != 0 && answer.contains(region), "{host:#x} of {answer:?}"),
            Err(error) => drop(error.to_string()),
        }
    }
}
