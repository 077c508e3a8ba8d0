//! The pages that a core is to lack, by the classes that were chosen.
//!
//! Needs: a core, or a held guest as one. Gives: the record of the pages to leave out. Where
//! the classes of its pages are in doubt, all are kept, with a warning.

use vmcore_formats::page_class::{LeftOut, PageClasses};

use super::page_classes;
use crate::vmcore::Vmcore;

/// What is to be left out, and what there is to say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// The pages. It has no classes if all pages are kept.
    pub left_out: LeftOut,
    /// Why more is kept than was asked for.
    pub warnings: Vec<String>,
}

/// Plans what to leave out of a core.
pub fn plan(core: &Vmcore, classes: PageClasses) -> Planned {
    if classes.is_empty() {
        return Planned::default();
    }
    match page_classes::plan_of(core) {
        Ok(plan) => {
            let chosen = plan.runs.into_iter().filter(|run| classes.leaves_out(run.class));
            Planned {
                left_out: LeftOut { classes, runs: chosen.collect() },
                warnings: plan.findings,
            }
        }
        Err(error) => Planned {
            left_out: LeftOut::default(),
            warnings: vec![format!("all pages are kept: {error}")],
        },
    }
}

/// Leaves pages out of a core. Gives why more is kept than was asked for.
pub fn apply(core: &mut Vmcore, classes: PageClasses) -> Vec<String> {
    let Planned { left_out, mut warnings } = plan(core, classes);
    if !left_out.classes.is_empty() && !core.leave_out(&left_out) {
        warnings.push("all pages are kept: the record of those left out is too long".to_owned());
    }
    warnings
}
