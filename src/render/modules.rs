//! Modules, for people and as JSON.
//!
//! ```text
//! ADDRESS                  SIZE TAINTS  NAME             USED BY
//! 0xffffffffc0345000  16.00 KiB -       pvpanic          2: pvpanic_pci, pvpanic_mmio
//! ```

use std::io::{self, Write};

use serde::Serialize;

use super::json::hex;
use crate::kernel::modules::{Module, ModuleState, Modules, RangeKind};
use crate::printable::shown;
use crate::units::bytes;

/// The schema of modules as JSON.
pub const SCHEMA: &str = "vmcorectl/modules/1";

/// Prints modules.
pub fn text(modules: &Modules, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<18} {:>11} TAINTS {:<24} USED BY", "ADDRESS", "SIZE", "NAME")?;
    for module in &modules.modules {
        let taints = module.taints.as_deref().filter(|letters| !letters.is_empty());
        let taints = taints.unwrap_or("-");
        let state = match module.state {
            ModuleState::Live => "",
            other => word(other),
        };
        let mut used = module.references.map_or_else(unknown, |count| count.to_string());
        if let Some(users) = module.users.as_deref().filter(|users| !users.is_empty()) {
            used = format!("{used}: {}", shown(&users.join(", ")));
        }
        let line = format!(
            "{:<18} {:>11} {taints:<6} {:<24} {used} {state}",
            base(module).map_or_else(unknown, |base| format!("{base:#018x}")),
            module.size.map_or_else(unknown, bytes),
            shown(&module.name),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// What is printed for an unknown value.
fn unknown() -> String {
    "-".to_owned()
}

/// The start of its code, as in `/proc/modules`.
fn base(module: &Module) -> Option<u64> {
    let text = module.ranges.iter().find(|range| range.kind == RangeKind::Text);
    text.or(module.ranges.first()).map(|range| range.base.0)
}

fn word(state: ModuleState) -> &'static str {
    match state {
        ModuleState::Live => "live",
        ModuleState::Coming => "coming",
        ModuleState::Going => "going",
        ModuleState::Unformed => "unformed",
        ModuleState::Unknown(_) => "in no known state",
    }
}

/// Modules as JSON.
#[derive(Debug, Serialize)]
pub struct ModulesJson<'a> {
    schema: &'static str,
    modules: Vec<JsonModule<'a>>,
    findings: &'a [String],
}

#[derive(Debug, Serialize)]
struct JsonModule<'a> {
    name: &'a str,
    address: Option<String>,
    size: Option<u64>,
    state: &'static str,
    taints: Option<&'a str>,
    users: Option<&'a [String]>,
    references: Option<i64>,
    version: Option<&'a str>,
    srcversion: Option<&'a str>,
    build_id: Option<&'a str>,
    #[serde(serialize_with = "hex")]
    struct_module: u64,
    ranges: Vec<JsonRange>,
}

#[derive(Debug, Serialize)]
struct JsonRange {
    #[serde(serialize_with = "hex")]
    start: u64,
    size: u64,
    kind: &'static str,
}

impl<'a> ModulesJson<'a> {
    /// The modules and their findings.
    pub fn new(modules: &'a Modules) -> Self {
        let one = |module: &'a Module| JsonModule {
            name: &module.name,
            address: base(module).map(|base| format!("{base:#x}")),
            size: module.size,
            state: word(module.state),
            taints: module.taints.as_deref(),
            users: module.users.as_deref(),
            references: module.references,
            version: module.version.as_deref(),
            srcversion: module.source_version.as_deref(),
            build_id: module.build_id.as_deref(),
            struct_module: module.at.0,
            ranges: module
                .ranges
                .iter()
                .map(|range| JsonRange {
                    start: range.base.0,
                    size: range.size,
                    kind: match range.kind {
                        RangeKind::Text => "text",
                        RangeKind::Data => "data",
                        RangeKind::InitText => "init text",
                        RangeKind::InitData => "init data",
                        RangeKind::Other => "other",
                    },
                })
                .collect(),
        };
        let list = modules.modules.iter().map(one).collect();
        Self { schema: SCHEMA, modules: list, findings: &modules.findings }
    }
}
