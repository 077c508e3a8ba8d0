//! Why a release did not work, and what the user can do about it.

use std::time::Duration;

use super::outcome::{Problem, with_causes};
use super::request::Action;
use super::session::Session;
use crate::monitor::{Manager, MonitorError, RunState, Version};

/// Before this version, `guest-panicked` could not be left.
const REVERSIBLE: Version = Version { major: 1, minor: 7, micro: 0 };

/// Why a release did not work.
pub(super) enum NotReleased {
    /// The guest is not as it was captured: nothing was ordered.
    Changed {
        change: String,
        state: RunState,
    },
    /// Another client let the guest run: nothing was ordered.
    AlreadyRuns(RunState),
    /// Nothing was ordered, since the guest's state is unknown.
    Unknown(MonitorError),
    Monitor(MonitorError),
    /// The state that the guest stayed in.
    State(RunState, Duration),
    /// QEMU ended instead.
    Ended,
}

impl From<MonitorError> for NotReleased {
    fn from(error: MonitorError) -> Self {
        Self::Monitor(error)
    }
}

/// Whether QEMU's refusal says that a dump is under way. It has no class of its own.
pub(super) fn is_dumping(description: &str) -> bool {
    description.contains("dump in process")
}

pub(super) fn explain(session: &Session<'_>, action: Action, failure: &NotReleased) -> Problem {
    let version = session.monitor.version();
    let (what, refused) = match failure {
        NotReleased::Changed { change, state } => {
            return Problem {
                message: format!(
                    "{action} was not ordered: the guest is not as it was captured: {change}"
                ),
                hint: Some(format!(
                    "its state is {:?} now; what becomes of it is up to the other client",
                    state.status
                )),
            };
        }
        NotReleased::Unknown(error) => {
            return Problem {
                message: format!(
                    "{action} was not ordered: it destroys the guest's memory, and its state is \
                     unknown: {}",
                    with_causes(error)
                ),
                hint: error.hint().map(str::to_owned),
            };
        }
        NotReleased::AlreadyRuns(state) => (format!("its state is {:?}", state.status), false),
        NotReleased::Monitor(error) => (with_causes(error), error.refusal().is_some()),
        NotReleased::State(state, waited) => {
            (format!("its state is still {:?} after {waited:.1?}", state.status), false)
        }
        NotReleased::Ended => {
            ("QEMU ended instead (-no-reboot, or vCPUs that cannot be reset)".to_owned(), false)
        }
    };
    let dumping = matches!(failure, NotReleased::Monitor(error)
        if error.refusal().is_some_and(|refusal| is_dumping(&refusal.description)));
    let asks_qemu = session.monitor.manager() == Manager::Qemu;
    if refused && asks_qemu && action != Action::Quit {
        return Problem {
            message: format!("the VM remained paused: it could not be released ({action}): {what}"),
            hint: Some(if let Some(version) = version.filter(|version| *version < REVERSIBLE) {
                format!(
                    "QEMU {version} cannot leave the panicked state (1.7 and newer can): \
                     update QEMU, or reset the guest (--then reset)"
                )
            } else if dumping {
                "QEMU still dumps the guest and cannot be stopped: release the guest when \
                 `query-dump` does not say `active` any more"
                    .to_owned()
            } else if session.metadata.panic.is_some() {
                "update QEMU, or reset the guest (--then reset)".to_owned()
            } else {
                "reset the guest (--then reset)".to_owned()
            }),
        };
    }
    if action == Action::Hold {
        return Problem {
            message: format!("nothing was done to the guest, and its state is unknown: {what}"),
            hint: None,
        };
    }
    let hint = match failure {
        NotReleased::Monitor(error) => error.hint().map(str::to_owned),
        _ => None,
    };
    Problem { message: format!("the guest could not be released ({action}): {what}"), hint }
}
