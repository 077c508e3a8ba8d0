//! No new files, by Landlock.
//!
//! Reading is allowed: debug files are looked for in many places. Writing, creating,
//! removing and executing are not, but below the folders that a command writes to; nor
//! are TCP connections, and signals to other processes, where the kernel knows of them.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

/// The newest rights that are asked for, with commit "landlock: Add signal scoping" (in v6.12).
/// An older kernel enforces fewer.
const RIGHTS: ABI = ABI::V6;

/// Whether other programs may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Programs {
    None,
    All,
}

/// Denies this thread, and those that it starts, what is said above. Gives what the
/// kernel cannot enforce.
pub(super) fn deny_writing(
    writable: &[&Path],
    programs: Programs,
) -> Result<Option<String>, RulesetError> {
    let writing: BitFlags<AccessFs> = AccessFs::from_write(RIGHTS);
    let handled = match programs {
        Programs::None => writing | AccessFs::Execute,
        Programs::All => writing,
    };
    let mut rules = Ruleset::default()
        .handle_access(handled)?
        .handle_access(AccessNet::from_all(RIGHTS))?
        .scope(Scope::from_all(RIGHTS))?
        .create()?;
    for folder in writable {
        // A folder that cannot be opened cannot be written to either.
        if let Ok(folder) = PathFd::new(folder) {
            rules = rules.add_rule(PathBeneath::new(folder, writing))?;
        }
    }
    let status = rules.restrict_self()?;
    Ok(match status.landlock {
        LandlockStatus::Available { .. } => None,
        LandlockStatus::NotEnabled => Some("Landlock is not enabled in the kernel".to_owned()),
        LandlockStatus::NotImplemented => Some("the kernel has no Landlock".to_owned()),
    })
}
