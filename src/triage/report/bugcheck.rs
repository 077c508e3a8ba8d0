//! Bugchecks of Windows: the meaning of a code and its parameters.
//!
//! Needs: a code and four parameters, from QEMU's panic event or a dump's header. Gives: their
//! names, a title and a signature. Names and meanings are a table, `bugchecks.txt`. Without
//! Windows's symbols, the analysis ends here.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::data::{Bugcheck, BugcheckParameter};
use crate::triage::base32::base32;

const TABLE: &str = include_str!("bugchecks.txt");

/// A bugcheck, as the guest reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The STOP code.
    pub code: u64,
    /// Its parameters.
    pub parameters: [u64; 4],
}

/// An entry of the table.
struct TableEntry {
    name: &'static str,
    parameters: [&'static str; 4],
}

impl Stop {
    /// The names of the code and its parameters.
    pub fn explain(&self) -> Bugcheck {
        let entry = find(self.code);
        let meaning = |index: usize| {
            let text = *entry.as_ref()?.parameters.get(index)?;
            let text = text.trim_start_matches('=').trim();
            (text != "-" && !text.is_empty()).then(|| text.to_owned())
        };
        let parameters = self.parameters.iter().enumerate();
        Bugcheck {
            code: format!("{:#010x}", self.code),
            name: entry.as_ref().map(|entry| entry.name.to_owned()),
            parameters: parameters
                .map(|(index, value)| BugcheckParameter {
                    value: format!("{value:#x}"),
                    meaning: meaning(index),
                })
                .collect(),
        }
    }

    /// A title: without addresses, which differ from boot to boot.
    pub fn title(&self) -> String {
        let mut title = format!("bugcheck {:#X}", self.code).replacen("0X", "0x", 1);
        if let Some(entry) = find(self.code) {
            let _ = write!(title, " {}", entry.name);
        }
        let kinds: Vec<_> =
            self.kinds().map(|(number, value)| format!("P{number}={value:#x}")).collect();
        if !kinds.is_empty() {
            let _ = write!(title, " ({})", kinds.join(", "));
        }
        title
    }

    /// A signature: of the code and the parameters that are enumerations.
    pub fn signature(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("windows\0bugcheck:{:#010X}", self.code));
        for (number, value) in self.kinds() {
            hash.update(format!("\0P{number}={value:#x}"));
        }
        format!("v1-{}", base32(&hash.finalize(), 16))
    }

    /// The parameters that are enumerations, with their numbers.
    fn kinds(&self) -> impl Iterator<Item = (usize, u64)> {
        let entry = find(self.code);
        let parameters = self.parameters.into_iter().enumerate();
        parameters.filter_map(move |(index, value)| {
            let text = *entry.as_ref()?.parameters.get(index)?;
            text.starts_with('=').then_some((index.saturating_add(1), value))
        })
    }
}

/// The table's entry for a code.
fn find(code: u64) -> Option<TableEntry> {
    let wanted = format!("0x{code:08X} ");
    let mut lines = TABLE.lines();
    let name = lines.find_map(|line| line.strip_prefix(wanted.as_str()))?;
    let mut parameters = ["-"; 4];
    for (parameter, line) in parameters.iter_mut().zip(lines) {
        *parameter = line.strip_prefix('\t')?;
    }
    Some(TableEntry { name, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let mut codes = Vec::new();
        let lines: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        for entry in lines.chunks(5) {
            let (code, name) = entry[0].split_once(' ').unwrap();
            let number = u64::from_str_radix(code.strip_prefix("0x").unwrap(), 16).unwrap();
            assert!(
                entry[1..].len() == 4 && entry[1..].iter().all(|line| line.starts_with('\t')),
                "{code}"
            );
            let entry = find(number).unwrap();
            assert_eq!(entry.name, name);
            codes.push(number);
        }
        assert!(codes.is_sorted() && codes.len() > 60, "{} codes", codes.len());
        codes.dedup();
        assert_eq!(codes.len() * 5, lines.len());
    }

    #[test]
    fn addresses_are_in_no_title_and_no_signature() {
        let stop = |address| Stop { code: 0xd1, parameters: [address, 2, 0, address + 7] };
        assert_eq!(stop(0x10).title(), "bugcheck 0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL (P3=0x0)");
        assert_eq!(stop(0x10).signature(), stop(0xffff_f800_0000_0000).signature());
        let write = Stop { code: 0xd1, parameters: [1, 2, 1, 3] };
        assert_ne!(stop(0x10).signature(), write.signature());
        assert_eq!(
            stop(0x10).explain().parameters[3].meaning.as_deref(),
            Some("address of the instruction")
        );
    }

    #[test]
    fn an_unknown_code_is_titled_by_its_number() {
        let stop = Stop { code: 0x1234_5678, parameters: [1, 2, 3, 4] };
        assert_eq!(stop.title(), "bugcheck 0x12345678");
        let explained = stop.explain();
        assert_eq!((explained.code.as_str(), explained.name), ("0x12345678", None));
        assert!(explained.parameters.iter().all(|parameter| parameter.meaning.is_none()));
    }
}
