//! The guilty function on a stack out of a core, where the log's lines do not name it.

use super::{Guilt, Scene, Skipped, waiting};
use crate::triage::crash::KnownFrame;
use crate::triage::crash::kind::Source;
use crate::triage::crash::stack::line::Role;
use crate::triage::crash::stack::{Frame, Item, name};

/// Finds it on a stack out of the core, in the same ways as on one of the log. Says whether it is
/// there.
pub(crate) fn of_core(scene: &Scene<'_>, stack: &[KnownFrame], guilt: &mut Guilt) -> bool {
    /// No line: it is none of the log's.
    const NO_LINE: usize = usize::MAX;
    let mut items = vec![Item::Begin(NO_LINE)];
    let mut interrupted = true;
    for known in stack {
        let name = name::of(&known.function);
        let role = if interrupted { Role::Pc } else { Role::Stack };
        interrupted = waiting::is_interrupt(&name);
        items.push(Item::Frame(Frame {
            line: NO_LINE,
            role,
            name,
            module: known.module.clone(),
            reliable: true,
            guess: false,
            at_start: false,
        }));
    }
    let scene = Scene { items: &items, ..*scene };
    let mut found = Guilt::default();
    match scene.kind().rule().source {
        Source::Stall => waiting::stalled(&scene, &mut found),
        Source::Hung => waiting::hung(&scene, &mut found),
        _ => {}
    }
    if found.function.is_none() {
        found = Guilt::default();
        scene.first(&mut found, scene.stack_from(scene.begin()));
    }
    let skipped = found.skipped.into_iter().map(|skipped| Skipped { line: None, ..skipped });
    guilt.skipped.extend(skipped);
    let is_there = found.function.is_some();
    if is_there {
        guilt.function = found.function;
        guilt.module = found.module;
        (guilt.line, guilt.guess) = (None, false);
    }
    is_there
}
