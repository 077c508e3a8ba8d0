//! What the child is asked for before a dump, and what it answers: the pages to leave out.
//!
//! ```text
//! request: as that of a report, with the classes ([`Request`](super::report::Request))
//! answer:  a line of JSON, then the descriptor of the core's record of the pages
//!          ([`LeftOut`]), up to the end of the process
//! ```

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use vmcore_formats::page_class::LeftOut;
use vmcore_formats::text::{MAX_RELEASE, bounded};

use super::end::ChildError;

/// How many warnings are taken from the child.
const MAX_WARNINGS: usize = 16;

/// What the child planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The pages to leave out; without any classes if all are kept because of a doubt.
    pub left_out: LeftOut,
    /// Why more is kept than was asked for.
    pub warnings: Vec<String>,
    /// What the kernel could not be made to enforce.
    pub unconfined: Vec<String>,
}

/// The line before the record.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    warnings: Vec<String>,
    unconfined: Vec<String>,
}

impl Plan {
    /// Writes the answer.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        let head = Head { warnings: self.warnings.clone(), unconfined: self.unconfined.clone() };
        serde_json::to_writer(&mut to, &head)?;
        to.write_all(b"\n")?;
        to.write_all(&self.left_out.encode())?;
        to.flush()
    }

    /// Reads the child's answer, of which nothing is sure.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChildError> {
        let problem = |problem: String| ChildError::NoReport { problem };
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let head: Head = serde_json::from_slice(bytes.get(..end).unwrap_or_default())
            .map_err(|error| problem(error.to_string()))?;
        let record = bytes.get(end.saturating_add(1)..).unwrap_or_default();
        let left_out = LeftOut::decode(record).map_err(|error| problem(error.to_string()))?;
        let lines = |lines: Vec<String>| {
            lines.iter().take(MAX_WARNINGS).map(|line| bounded(line, MAX_RELEASE)).collect()
        };
        Ok(Self { left_out, warnings: lines(head.warnings), unconfined: lines(head.unconfined) })
    }
}

#[cfg(test)]
mod tests {
    use vmcore_formats::addr::PhysAddr;
    use vmcore_formats::page_class::{ClassRun, PageClass, PageClasses};

    use super::*;

    fn plan() -> Plan {
        let run =
            ClassRun { start: PhysAddr(0xa000), length: 0xa000, class: PageClass::CachePrivate };
        Plan {
            left_out: LeftOut { classes: PageClasses::kernel(), runs: vec![run] },
            warnings: vec!["a\nb".to_owned()],
            unconfined: vec![],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut bytes = Vec::new();
        plan().write(&mut bytes).unwrap();
        assert_eq!(Plan::decode(&bytes).unwrap(), plan());
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        let mut bytes = Vec::new();
        plan().write(&mut bytes).unwrap();
        for length in 0..bytes.len() - 2 {
            assert!(Plan::decode(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_warnings_of_a_child_are_bounded() {
        let warnings = vec!["x".repeat(1 << 20); 1000];
        let mut bytes = Vec::new();
        Plan { warnings, ..plan() }.write(&mut bytes).unwrap();
        let read = Plan::decode(&bytes).unwrap();
        assert_eq!(read.warnings.len(), MAX_WARNINGS);
        assert!(read.warnings.iter().all(|line| line.len() <= MAX_RELEASE + 8));
    }
}
