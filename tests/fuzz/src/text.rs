//! Text: logs of a console, and tables of families.

use vmcorectl::render;
use vmcorectl::triage::crash;
use vmcorectl::triage::crash::families::Families;
use vmcorectl::triage::log::console;
use vmcorectl::wildcard::Wildcard;

use crate::limits::{SMALL, within};
use crate::output;

/// How much an explanation may print for each byte of its log, and beyond that.
const EACH: usize = 64;
const MORE: usize = 1 << 20;

/// The crash in a text log, explained.
pub(crate) fn console(input: &[u8]) {
    within(SMALL, || {
        let most = input.len().saturating_mul(EACH).saturating_add(MORE);
        let families = Families::built_in();
        let crash = crash::of(&console::records(input), families);
        output::json(most, |out| render::explain::json(None, crash.as_ref(), None, out));
        if let Some(crash) = &crash {
            assert!(!crash.title.is_empty(), "a crash without a title");
            output::text(most, |out| render::explain::text(crash, families, out));
        }
    });
}

/// A site's table of families, and after a zero byte a name that is looked up in it.
pub(crate) fn families(input: &[u8]) {
    within(SMALL, || {
        let text = String::from_utf8_lossy(input);
        let (site, name) = text.split_once('\0').unwrap_or((&text, "schedule_timeout"));
        if let Ok(families) = Families::extended(site) {
            let _ = (families.version(), families.of(name, &[]), families.is_in(name, "panic"));
            let _ = families.covers("panic");
        }
        let _ = Wildcard::new(site).matches(name);
    });
}
