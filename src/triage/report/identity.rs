//! The kernel's identity: version, command line, uptime, taint.

use super::data::{Kernel as KernelPart, Taint, TaintFlag};
use crate::kernel::Kernel;
use crate::kernel::identity::Identity;

/// The kernel's part of a report.
pub(super) fn of(kernel: &Kernel, identity: &Identity) -> KernelPart {
    let uname = identity.uname.as_ref();
    let release = kernel.info.release().map(str::to_owned);
    KernelPart {
        release: release.or_else(|| uname.map(|uname| uname.release.clone())),
        version: uname.map(|uname| uname.version.clone()),
        build_id: kernel.info.value("BUILD-ID").map(str::to_owned),
        command_line: identity.command_line.clone(),
        uptime_seconds: identity
            .times
            .as_ref()
            .map(|times| std::time::Duration::from_nanos(times.uptime_ns).as_secs_f64()),
        taint: identity.taint_mask.map(|mask| Taint {
            mask,
            flags: identity
                .taints
                .iter()
                .map(|taint| TaintFlag {
                    letter: taint.letter.to_string(),
                    meaning: taint.meaning.to_owned(),
                })
                .collect(),
        }),
    }
}
