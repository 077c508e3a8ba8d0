//! The modules, as a report has them.

use super::data::{Module, Report, Trust};
use crate::kernel::modules::{Modules, RangeKind};

/// The most modules.
const MAX_MODULES: usize = 1000;

/// Puts the modules into a report.
pub(super) fn take(report: &mut Report, modules: &Modules) {
    for finding in &modules.findings {
        report.find("modules", finding.clone(), Trust::Certain);
    }
    if modules.modules.len() > MAX_MODULES {
        let all = modules.modules.len();
        report.find(
            "modules",
            format!("only {MAX_MODULES} of {all} modules are listed"),
            Trust::Certain,
        );
    }
    report.modules = modules
        .modules
        .iter()
        .take(MAX_MODULES)
        .map(|module| {
            let code = module.ranges.iter().find(|range| range.kind == RangeKind::Text);
            Module {
                name: module.name.clone(),
                address: code.map(|range| format!("{:#x}", range.base.0)),
                size: module.size,
                taints: module.taints.clone(),
                users: module.users.clone(),
                build_id: module.build_id.clone(),
            }
        })
        .collect();
}
