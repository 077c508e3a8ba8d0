//! What is done with a guest, by its name.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vmcore_formats::page_class::PageClasses;

use super::values;
use crate::wildcard::Wildcard;

/// How long a guest is held by default, if it is to be released at all.
const MAX_HOLD: Duration = Duration::from_secs(300);

/// What becomes of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It stays stopped.
    Hold,
    /// It continues.
    Resume,
    /// It is reset, and starts.
    Reset,
    /// Its QEMU ends.
    Quit,
    /// What `on_crash` of its libvirt domain says; guests of other daemons stay stopped.
    OnCrash,
}

/// `on_crash` of a libvirt domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCrash {
    /// The guest stays as it is.
    Preserve,
    /// It is destroyed. This is libvirt's default.
    Destroy,
    /// It is reset, and starts.
    Restart,
    /// libvirt dumps it, and then destroys it.
    CoredumpDestroy,
    /// libvirt dumps it, and then resets it.
    CoredumpRestart,
}

/// A rule of the file: patterns of names, and the keys that it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    guests: Vec<GuestPattern>,
    #[serde(default)]
    then: Option<Action>,
    #[serde(default)]
    on_failure: Option<Action>,
    #[serde(default, deserialize_with = "values::limit")]
    max_hold: Option<Option<Duration>>,
    #[serde(default, deserialize_with = "values::level")]
    level: Option<i32>,
    #[serde(default, deserialize_with = "values::pages")]
    pages: Option<PageClasses>,
    #[serde(default)]
    report_only: Option<bool>,
    #[serde(default)]
    ignore: Option<bool>,
    #[serde(default)]
    preserve: Option<bool>,
}

/// A pattern of a guest's name, or of the path of its socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
struct GuestPattern(Wildcard);

impl From<String> for GuestPattern {
    fn from(text: String) -> Self {
        Self(Wildcard::new(&text))
    }
}

/// What is done with one guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After its capture.
    pub then: Action,
    /// If there is no whole core.
    pub on_failure: Action,
    /// The longest hold; `None` for one without end.
    pub max_hold: Option<Duration>,
    /// The zstd level; `None` for the default of `capture`.
    pub level: Option<i32>,
    /// Which pages its core lacks; `None` for the default of `capture`.
    pub pages: Option<PageClasses>,
    /// Whether its core is always left out.
    pub report_only: bool,
    /// Whether it is not watched.
    pub ignore: bool,
    /// Whether its manager is set, live, to stop it at a panic.
    pub preserve: bool,
}

impl Policy {
    /// The policy for a guest of these names, by rules in their order: of each key, the first
    /// rule that has it counts.
    pub(super) fn of(rules: &[Rule], names: &[&str]) -> Self {
        let matching: Vec<_> = rules.iter().filter(|rule| rule.matches(names)).collect();
        let then = matching.iter().find_map(|rule| rule.then).unwrap_or(Action::OnCrash);
        let max_hold = matching.iter().find_map(|rule| rule.max_hold);
        Self {
            then,
            on_failure: matching.iter().find_map(|rule| rule.on_failure).unwrap_or(then),
            max_hold: max_hold.unwrap_or(Some(MAX_HOLD)),
            level: matching.iter().find_map(|rule| rule.level),
            pages: matching.iter().find_map(|rule| rule.pages),
            report_only: matching.iter().find_map(|rule| rule.report_only).unwrap_or(false),
            ignore: matching.iter().find_map(|rule| rule.ignore).unwrap_or(false),
            preserve: matching.iter().find_map(|rule| rule.preserve).unwrap_or(true),
        }
    }

    /// The policy of a guest whose domain has this `on_crash`, `None` for a guest of no libvirt:
    /// nothing is left to it, and a guest that stays held has no longest hold.
    pub fn resolved(self, on_crash: Option<OnCrash>) -> Self {
        let then = self.then.resolved(on_crash);
        let on_failure = self.on_failure.resolved(on_crash);
        let max_hold = self.max_hold.filter(|_| on_failure != Action::Hold);
        Self { then, on_failure, max_hold, ..self }
    }
}

impl Rule {
    fn matches(&self, names: &[&str]) -> bool {
        self.guests.iter().any(|pattern| names.iter().any(|name| pattern.0.matches(name)))
    }
}

impl Action {
    fn resolved(self, on_crash: Option<OnCrash>) -> Self {
        match (self, on_crash) {
            (Self::OnCrash, Some(OnCrash::Destroy | OnCrash::CoredumpDestroy)) => Self::Quit,
            (Self::OnCrash, Some(OnCrash::Restart | OnCrash::CoredumpRestart)) => Self::Reset,
            (Self::OnCrash, Some(OnCrash::Preserve) | None) => Self::Hold,
            (other, _) => other,
        }
    }

    /// Its name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Reset => "reset",
            Self::Quit => "quit",
            Self::OnCrash => "on-crash",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl OnCrash {
    /// By its name in the domain's XML. What is not there, or not known, is libvirt's default.
    pub fn from_name(name: Option<&str>) -> Self {
        match name {
            Some("preserve") => Self::Preserve,
            Some("restart" | "rename-restart") => Self::Restart,
            Some("coredump-destroy") => Self::CoredumpDestroy,
            Some("coredump-restart") => Self::CoredumpRestart,
            _ => Self::Destroy,
        }
    }

    /// Whether a panic of the domain is lost unless its `on_crash` is changed before.
    pub fn loses_memory(self) -> bool {
        matches!(self, Self::Destroy | Self::Restart)
    }
}
