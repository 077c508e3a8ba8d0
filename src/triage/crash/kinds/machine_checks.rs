//! Machine checks: errors that the hardware reports.
//!
//! ```text
//! mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 4: b200000000070f0f
//! CPU 0: Machine Check Exception: 0000000000000004      2.6: each bank on a line of its own
//! Bank 4: b200000000070f0f
//! ```

use super::candidate::Candidate;
use super::{Header, KERNEL_PANIC_MARKER, Kind, header};
use crate::triage::crash::text::{after, has};

pub(super) static ROWS: &[&Kind] = &[&MACHINE_CHECK];

pub(super) static MACHINE_CHECK: Kind = Kind {
    headers: &[
        header(&["Machine Check Exception"], TITLE).read_by(|at| Some(machine_check(at))),
        // Without the word: the check did not interrupt the CPU.
        header(&["Machine Check: "], TITLE).containing("Bank ").read_by(logged),
    ],
    r#type: Some("DoS"),
    panic_reasons: &[
        "achine check",
        "achine Check",
        "Timeout: ",
        "Uncorrected",
        "CPU context corrupt",
        "Unable to continue",
        "Failed kernel mode recovery",
    ],
    within_another: true,
    ..Kind::named("machine check")
};

const TITLE: &str = "machine check";

/// An error that was found in a bank is a crash if the kernel panics for it: at boot, banks have
/// errors of before.
fn logged(at: &Candidate<'_, '_>) -> Option<Header> {
    const PANIC_WITHIN: usize = 100;
    let mut panics =
        at.next_lines(PANIC_WITHIN).filter_map(|line| after(line, KERNEL_PANIC_MARKER));
    let reasons = MACHINE_CHECK.panic_reasons;
    let fatal = panics.any(|reason| reasons.iter().any(|words| has(reason, words)));
    fatal.then(|| machine_check(at))
}

/// The bank and its error code, as far as the line has them, and no address.
fn machine_check(at: &Candidate<'_, '_>) -> Header {
    let below = || at.next_lines(3).find_map(|line| line.trim_ascii().strip_prefix(b"Bank "));
    let Some(bank) = after(at.message(), "Bank ").or_else(below) else {
        return Header::new(&MACHINE_CHECK, TITLE);
    };
    let bank_number: String = digits(bank, u8::is_ascii_digit);
    let status: String = after(bank, ":")
        .map(|status| digits(status.trim_ascii_start(), u8::is_ascii_hexdigit))
        .unwrap_or_default();
    let code = status.get(status.len().saturating_sub(4)..).unwrap_or_default();
    Header::new(
        &MACHINE_CHECK,
        match (bank_number.as_str(), code) {
            ("", _) => TITLE.to_owned(),
            (bank, "") => format!("{TITLE} (bank {bank})"),
            (bank, code) => format!("{TITLE} (bank {bank}, mcacod 0x{code})"),
        },
    )
}

/// The digits that a text begins with; not more than a register has.
fn digits(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> String {
    text.iter().take(16).take_while(|byte| is_digit(byte)).map(|byte| char::from(*byte)).collect()
}
