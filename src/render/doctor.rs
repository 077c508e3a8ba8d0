//! What an examination found, as text.

use std::io::{self, Write};

use crate::doctor::{Examination, Finding};
use crate::printable::shown_up_to;

/// The most characters of a line.
const MAX_LINE: usize = 1000;

/// Prints the findings, those of the host first.
pub fn text(examination: &Examination, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "host")?;
    findings(&examination.host, out)?;
    for guest in &examination.guests {
        let facts = &guest.facts;
        let name = match facts.name.as_deref() {
            Some(name) if !facts.guest.ends_with(name) => format!("{name} ({})", facts.guest),
            _ => facts.guest.clone(),
        };
        writeln!(out, "\n{}", shown_up_to(&name, MAX_LINE))?;
        findings(&guest.findings, out)?;
    }
    Ok(())
}

fn findings(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    for finding in findings {
        let name = finding.severity.name();
        writeln!(out, "  {name:<7}  {}", shown_up_to(&finding.text, MAX_LINE))?;
        if let Some(mend) = &finding.mend {
            writeln!(out, "           mend: {}", shown_up_to(mend, MAX_LINE))?;
        }
    }
    Ok(())
}
