//! What the kernel says of itself: version, command line, taint.
//!
//! Its own variables where their symbols are known, else what it printed when it started.

use vmcore_formats::addr::VirtAddr;

use super::data::{Kernel as Facts, Taint, TaintFlag};
use crate::kernel::Kernel;
use crate::kernel::taint::taints;

/// The longest command line of any architecture, and of the banner.
const MAX_TEXT: usize = 4096;

/// What is known of a kernel.
pub(super) fn of(kernel: &Kernel) -> Facts {
    let mask = kernel.symbol("tainted_mask").and_then(|at| kernel.space.read_u64(at).ok());
    Facts {
        release: kernel.info.release().map(str::to_owned),
        version: kernel.symbol("linux_banner").and_then(|at| text(kernel, at)),
        build_id: kernel.info.value("BUILD-ID").map(str::to_owned),
        command_line: command_line(kernel),
        uptime_seconds: None,
        taint: mask.map(|mask| Taint {
            mask,
            flags: taints(kernel, mask)
                .iter()
                .map(|taint| TaintFlag {
                    letter: taint.letter.to_string(),
                    meaning: taint.meaning.to_owned(),
                })
                .collect(),
        }),
    }
}

fn command_line(kernel: &Kernel) -> Option<String> {
    let at = kernel.space.read_u64(kernel.symbol("saved_command_line")?).ok()?;
    text(kernel, VirtAddr(at))
}

/// The text at an address, up to its NUL. Read page by page: what follows may not be mapped.
fn text(kernel: &Kernel, at: VirtAddr) -> Option<String> {
    const PAGE: u64 = 4096;
    let mut bytes = Vec::new();
    while bytes.len() < MAX_TEXT && !bytes.contains(&0) {
        let next = VirtAddr(at.0.checked_add(bytes.len() as u64)?);
        let length = usize::try_from(PAGE - next.0 % PAGE).unwrap_or_default();
        match kernel.space.read_vec(next, length) {
            Ok(more) => bytes.extend(more),
            Err(_) => break,
        }
    }
    let text = bytes.split(|byte| *byte == 0).next().filter(|text| !text.is_empty())?;
    let text = text.get(..MAX_TEXT).unwrap_or(text);
    Some(String::from_utf8_lossy(text).trim_end().to_owned())
}
