//! The families of functions that are never to blame: the built-in table, and a site's.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::exit::UsageError;
use super::ui;
use crate::triage::crash::families::Families;

/// The `--families` option of every command that names a crash.
#[derive(Debug, clap::Args)]
pub(super) struct FamiliesArgs {
    /// Never name a crash by the functions in this table, in addition to the built-in ones.
    /// Its version becomes a part of every signature
    #[arg(long, value_name = "FILE", env = "VMCORECTL_FAMILIES", hide_env_values = true)]
    families: Option<PathBuf>,
}

impl FamiliesArgs {
    /// The table. A site's file that is no table is a usage error.
    pub(super) fn table(&self) -> anyhow::Result<Arc<Families>> {
        let Some(path) = &self.families else { return Ok(Arc::new(Families::built_in().clone())) };
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let table = Families::extended(&text).map_err(|error| UsageError {
            message: format!("{}: {error}", path.display()),
            hint: None,
        })?;
        Ok(Arc::new(table))
    }

    /// The table; the built-in one, with a warning, if the site's cannot be read: a held guest
    /// is captured whatever its crash will be called.
    pub(super) fn table_or_own(&self) -> Arc<Families> {
        self.table().unwrap_or_else(|error| {
            ui::say(&format!("warning: {error:#}: using the built-in families"));
            Arc::new(Families::built_in().clone())
        })
    }
}
