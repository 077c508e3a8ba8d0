//! Kinds of crashes: one table, a row for each.
//!
//! ```text
//! static SOFT_LOCKUP: Kind = Kind {
//!     headers: &[header(BUG, "BUG: soft lockup").starting("soft lockup - CPU")],
//!     r#type: Some("HANG"),                    how dashboards sort it
//!     blame: BlameSource::Stall { .. },        which stack its function is on
//!     skip: &["@stall"],                       families passed over on that stack
//!     ..Kind::named("soft lockup")             its name in JSON
//! };
//! ```
//!
//! A row says how the kind is recognised, what it is called, where the function to blame comes
//! from, and how it relates to a panic. All other modules go by rows: a new kind is a row in one
//! file below, and perhaps a reader beside it.
//!
//! Needs: the log's lines. Gives: for a line, the header that begins there, with the part of the
//! title that names no function. Which event is the crash is decided by [`super::cause`], the
//! function by [`super::blame`].

mod bugs;
mod candidate;
mod faults;
mod locking;
mod lockups;
mod machine_checks;
mod memory;
mod messages;
mod modules;
mod outside;
mod panics;
mod sanitizers;
mod search;
mod stack_damage;
mod warnings;

use candidate::Candidate;
pub(crate) use faults::HEADER_LOST;
pub(crate) use lockups::HUNG_TASK;
pub(crate) use messages::MESSAGE;
pub(crate) use outside::{REBOOT, TRUSTY};
pub(crate) use panics::PANIC;
pub(crate) use search::{panic_reason, read};
pub(crate) use stack_damage::OVERFLOW as STACK_OVERFLOW;

use super::text::has;

/// All kinds. Where several match a header, the first one counts.
static TABLE: [&[&Kind]; 13] = [
    sanitizers::ROWS,
    faults::ROWS,
    machine_checks::ROWS,
    locking::ROWS,
    lockups::ROWS,
    memory::ROWS,
    stack_damage::ROWS,
    bugs::ROWS,
    modules::ROWS,
    warnings::ROWS,
    panics::ROWS,
    outside::ROWS,
    messages::ROWS,
];

/// Markers that several kinds' headers begin with.
const BUG: &[&str] = &["BUG:"];
const WARNING: &[&str] = &["WARNING:"];
const INFO: &[&str] = &["INFO:"];
const KERNEL_PANIC_MARKER: &str = "Kernel panic - not syncing:";
const KERNEL_PANIC: &[&str] = &[KERNEL_PANIC_MARKER];
const DIE: &[&str] = &["[#"];

/// A kind of crash: a row of the table.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its name in data.
    pub(crate) name: &'static str,
    /// The headers that it is recognised by.
    headers: &'static [Pattern],
    /// What dashboards sort it by.
    r#type: Option<&'static str>,
    /// Where the function to blame is looked for.
    pub(crate) blame: BlameSource,
    /// Families that are passed over besides the general ones.
    pub(crate) skip: &'static [&'static str],
    /// How the title that it shares with related kinds begins.
    pub(crate) alternate: Option<&'static str>,
    /// What follows the function in the title.
    pub(crate) suffix: &'static str,
    /// Functions whose names have the first word are called by the second.
    pub(crate) synonyms: &'static [(&'static str, &'static str)],
    /// A line behind which a second stack tells the origin of a value, worth a title of its own.
    pub(crate) origin: Option<&'static str>,
    /// What its report has to have to be whole.
    pub(crate) stack: StackRule,
    /// What becomes of the kernel.
    pub(crate) effect: Effect,
    /// Words in a panic's reason that name this kind as the cause.
    pub(crate) panic_reasons: &'static [&'static str],
    /// A CPU or task other than the one that it is about reports it.
    pub(crate) reported_by_another: bool,
    /// Its header may be printed within the report of another: the same `die()` has several.
    pub(crate) within_another: bool,
    /// The access that it reports may fault afterwards: the oops is the same event.
    pub(crate) before_oops: bool,
}

/// Where the function to blame is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlameSource {
    /// The kind blames none.
    None,
    /// The function in the header; then the first stack.
    Header,
    /// The function in the header, whatever family it is in; without one, the first stack.
    Named,
    /// The function in the header; then the stack directly below it.
    HeaderThenBelow,
    /// The program counter and its callers; then the first stack.
    Pc,
    /// The same, but a report that has no program counter goes by its header first.
    PcOrHeader,
    /// The program counter and its callers, and nothing else.
    PcOnly,
    /// The first stack.
    FirstStack,
    /// The stack directly below the header; then the first one.
    Below,
    /// The stack below a line that contains this.
    BelowLine(&'static str),
    /// The functions after `at:`, this many of them; then the first stack.
    Locks(usize),
    /// The function after the first `at:` that no family has, or else the first: the caller of the
    /// lock function is not what is wrong.
    LockFunction,
    /// A busy CPU's stack: what a dispatcher called.
    Stall {
        /// Stacks without an interrupt are tried, too. Reports that list stacks of other tasks
        /// cannot go by those.
        every_stack: bool,
    },
    /// A waiting task's stack: the first function that is not part of waiting.
    Wait,
}

/// What a report has to have to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StackRule {
    /// A stack, announced by `Call Trace:` or the like, or of two functions at least.
    Announced,
    /// Each stack that is announced; none need be.
    IfAnnounced,
    /// Its header alone.
    HeaderOnly,
}

/// What becomes of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It goes on.
    None,
    /// It goes on, unless `panic_on_warn` is set.
    Warning,
    /// It goes through `die()`: a task ends, and with `panic_on_oops` the kernel.
    Oops,
    /// It panics.
    Panic,
    /// The header is not the kernel's: a program's or the firmware's.
    Outside,
}

impl Kind {
    /// A row with nothing but a name: no function is blamed, and the kernel goes on.
    const fn named(name: &'static str) -> Self {
        Self {
            name,
            headers: &[],
            r#type: None,
            blame: BlameSource::None,
            skip: &[],
            alternate: None,
            suffix: "",
            synonyms: &[],
            origin: None,
            stack: StackRule::Announced,
            effect: Effect::None,
            panic_reasons: &[],
            reported_by_another: false,
            within_another: false,
            before_oops: false,
        }
    }

    /// Whether a machine has crashed that has such an event, and not only written a message.
    pub(crate) fn is_grave(&self) -> bool {
        !matches!(self.effect, Effect::Warning | Effect::Outside) && !self.is(&MESSAGE)
    }

    /// The same row: rows are compared by their identity.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl Eq for Kind {}

/// Reads the rest of a header whose pattern fits.
type Reader = fn(&Candidate<'_, '_>) -> Option<Header>;

/// A header, as the kernel prints it.
#[derive(Debug)]
struct Pattern {
    /// What it is found by, anywhere in a line.
    markers: &'static [&'static str],
    /// How the message behind the marker begins.
    starts: &'static str,
    /// What the message contains.
    contains: &'static str,
    /// The title without its function, or how that begins if a reader makes it.
    title: &'static str,
    /// The marker goes before the title.
    marked: bool,
    /// The type, if not the row's.
    r#type: Option<&'static str>,
    read: Option<Reader>,
}

/// A header with one of these markers.
const fn header(markers: &'static [&'static str], title: &'static str) -> Pattern {
    Pattern { markers, starts: "", contains: "", title, marked: false, r#type: None, read: None }
}

impl Pattern {
    const fn starting(self, starts: &'static str) -> Self {
        Self { starts, ..self }
    }

    const fn containing(self, contains: &'static str) -> Self {
        Self { contains, ..self }
    }

    const fn marked(self) -> Self {
        Self { marked: true, ..self }
    }

    const fn typed(self, r#type: &'static str) -> Self {
        Self { r#type: Some(r#type), ..self }
    }

    const fn read_by(self, read: Reader) -> Self {
        Self { read: Some(read), ..self }
    }

    fn matches(&self, message: &[u8]) -> bool {
        message.starts_with(self.starts.as_bytes())
            && (self.contains.is_empty() || has(message, self.contains))
    }
}

/// An event's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Index of the line.
    pub(crate) line: usize,
    pub(crate) kind: &'static Kind,
    /// The title, without the function.
    pub(crate) class: String,
    /// What dashboards sort it by.
    pub(crate) r#type: Option<&'static str>,
    /// The function that the header names.
    pub(crate) function: Option<String>,
    /// Another title.
    pub(crate) also: Option<String>,
    /// The CPU that the event is about, if another one may report it.
    pub(crate) cpu: Option<u32>,
    /// The line is that of a kernel panic.
    pub(crate) is_panic_line: bool,
    /// The message is cut, or lacks a part.
    pub(crate) damaged: bool,
}

impl Header {
    pub(crate) fn new(kind: &'static Kind, class: impl Into<String>) -> Self {
        Self {
            line: 0,
            kind,
            class: class.into(),
            r#type: kind.r#type,
            function: None,
            also: None,
            cpu: None,
            is_panic_line: false,
            damaged: false,
        }
    }

    /// No header at all.
    pub(crate) const fn nothing() -> Self {
        Self {
            line: 0,
            kind: &MESSAGE,
            class: String::new(),
            r#type: None,
            function: None,
            also: None,
            cpu: None,
            is_panic_line: false,
            damaged: true,
        }
    }

    /// Of an oops whose first lines are not in the log.
    pub(crate) fn lost() -> Self {
        Self::new(&HEADER_LOST, "kernel oops (header lost)")
    }

    /// Of a boot that nothing announced.
    pub(crate) fn rebooted() -> Self {
        Self::new(&REBOOT, "unexpected kernel reboot")
    }

    /// The same, of this line.
    pub(crate) fn on(self, line: usize) -> Self {
        Self { line, ..self }
    }

    fn naming(self, function: Option<String>) -> Self {
        Self { function, ..self }
    }

    fn typed(self, r#type: Option<&'static str>) -> Self {
        Self { r#type, ..self }
    }

    fn damaged(self) -> Self {
        Self { damaged: true, ..self }
    }
}

#[cfg(test)]
mod tests;
