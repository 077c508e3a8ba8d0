//! The mounted file systems, as a report has them.

use vmcore_formats::text::bounded;

use super::data::{Mount, Report, Trust};
use crate::kernel::mounts::Mounts;

/// The most mounts. A host of many containers has thousands.
const MAX_MOUNTS: usize = 500;
/// The longest path, in bytes, of which many are a report's.
const MAX_PATH: usize = 512;

/// Puts the mounted file systems into a report.
pub(super) fn take(report: &mut Report, mounts: &Mounts) {
    for finding in &mounts.findings {
        report.find("mounts", finding.clone(), Trust::Certain);
    }
    if mounts.mounts.len() > MAX_MOUNTS {
        let all = mounts.mounts.len();
        report.find(
            "mounts",
            format!("only {MAX_MOUNTS} of {all} mounts are listed"),
            Trust::Certain,
        );
    }
    report.mounts = mounts
        .mounts
        .iter()
        .take(MAX_MOUNTS)
        .map(|mount| Mount {
            device: bounded(&mount.device, MAX_PATH),
            mount_point: mount.mount_point.as_ref().map(|path| bounded(path, MAX_PATH)),
            r#type: mount.kind.clone(),
            options: mount.options.iter().map(|option| (*option).to_owned()).collect(),
            total_bytes: mount.usage.map(|usage| usage.total),
            used_bytes: mount.usage.map(|usage| usage.used),
            available_bytes: mount.usage.map(|usage| usage.available),
        })
        .collect();
}
