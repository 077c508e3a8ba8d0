//! The spool's directory, and its default.

use std::path::{Path, PathBuf};

/// The `--spool` option of the commands that use it.
#[derive(Debug, Default, clap::Args)]
pub(super) struct SpoolArgs {
    /// Directory of the events that hooks spool
    /// [default: /run/vmcorectl/spool for root, `$XDG_RUNTIME_DIR/vmcorectl/spool` for others]
    #[arg(long, value_name = "DIR", env = "VMCORECTL_SPOOL", hide_env_values = true)]
    pub(super) spool: Option<PathBuf>,
}

impl SpoolArgs {
    /// The spool's directory. It need not exist.
    pub(super) fn folder(&self) -> PathBuf {
        let variable =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // A hook asks without clap, which would know the variable.
        if let Some(spool) = self.spool.clone().or_else(|| variable("VMCORECTL_SPOOL")) {
            return spool;
        }
        let user = rustix::process::geteuid();
        if user.is_root() {
            return PathBuf::from("/run/vmcorectl/spool");
        }
        // libvirt does not pass the variable on to hooks.
        let own = || Path::new("/run/user").join(user.as_raw().to_string());
        variable("XDG_RUNTIME_DIR").unwrap_or_else(own).join("vmcorectl/spool")
    }
}
