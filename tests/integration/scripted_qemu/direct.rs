//! Where the scripted QEMU says that it has its guest's memory: in this very process.

use serde_json::{Value, json};

use super::{Answer, Peer, State};
use crate::script::DirectPlan;

/// The beginning of what QEMU prints of its memory.
const HEAD: &str = "FlatView #1\r\n AS \"memory\", root: system\r\n Root memory region: system\r\n";

impl Peer {
    /// An answer of the monitor for people.
    pub(super) fn answer_people(&self, state: &State, arguments: &Value) -> Answer {
        let Some(plan) = self.script.direct else { return Ok(json!({})) };
        let command = arguments["command-line"].as_str().unwrap_or_default();
        let asked = |name: &str| {
            let of_name = |(command, arguments): &&(String, Value)| {
                command == "human-monitor-command" && arguments["command-line"] == name
            };
            state.received.iter().filter(of_name).count()
        };
        if command == "info mtree -f" {
            let moved = plan == DirectPlan::Moves && asked(command) > 1;
            return Ok(self.memory_map(plan, moved).into());
        }
        let at = command.strip_prefix("gpa2hva 0x").expect("a command that is known");
        let at = u64::from_str_radix(at, 16).expect("an address");
        Ok(self.host_address(plan, at).into())
    }

    fn memory_map(&self, plan: DirectPlan, moved: bool) -> String {
        let blocks = &self.script.stream.blocks;
        let blocks = if plan == DirectPlan::Lacking { &blocks[..1] } else { blocks };
        let lines = blocks.iter().map(|(start, range)| {
            let last = start + range.len() as u64 - 1;
            let region = if moved { "other.ram" } else { "pc.ram" };
            match (plan, start) {
                (DirectPlan::OtherText, _) => format!("  {start:x}: {last:x} ({region})\r\n"),
                (_, 0) => format!("  {start:016x}-{last:016x} (prio 0, ram): {region}\r\n"),
                _ => {
                    format!("  {start:016x}-{last:016x} (prio 0, ram): {region} @{start:016x}\r\n")
                }
            }
        });
        [HEAD.to_owned(), lines.collect(), "\r\n".to_owned()].concat()
    }

    fn host_address(&self, plan: DirectPlan, at: u64) -> String {
        let stream = &self.script.stream;
        let of_block = |(start, range): &(u64, std::ops::Range<usize>)| {
            let skip = usize::try_from(at.checked_sub(*start)?).ok()?;
            (skip < range.len()).then_some((*start, range.start + skip))
        };
        let (start, offset) = stream.blocks.iter().find_map(of_block).expect("in a block");
        let right = stream.bytes.as_ptr().addr() + offset;
        let host = match plan {
            DirectPlan::NotTranslated => {
                return format!("Memory at address {at:#x} is not RAM\r\n");
            }
            DirectPlan::Shifted if start > 0 => right + 4096,
            DirectPlan::Apart if at != start => right + 4096,
            DirectPlan::Nowhere => 0x1000 + offset,
            _ => right,
        };
        format!("Host virtual address for {at:#x} (pc.ram) is {host:#x}\r\n")
    }

    /// The dump of a range, if this is one of a QEMU whose memory can be read.
    pub(super) fn part(&self, arguments: &Value) -> Option<Vec<u8>> {
        if self.script.ranges.is_none() {
            self.script.direct?;
        }
        let plan = self.script.direct;
        let (begin, length) = (arguments["begin"].as_u64()?, arguments["length"].as_u64()?);
        let mut state = self.lock();
        state.dump = "completed";
        let compared_again = state.received.iter().any(|(name, _)| name == "query-uuid");
        drop(state);
        if plan == Some(DirectPlan::Ends) && compared_again {
            self.end();
        }
        let mut bytes = self.script.stream.part(begin, usize::try_from(length).ok()?);
        if plan == Some(DirectPlan::Changes) && compared_again {
            *bytes.last_mut()? ^= 1;
        }
        Some(bytes)
    }
}
