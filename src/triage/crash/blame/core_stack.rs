//! The function to blame on a stack of the core, where the log does not name it.

use super::{Blame, EventView, Skipped, waiting};
use crate::triage::core_stacks::CoreFrame;
use crate::triage::crash::kinds::BlameSource;
use crate::triage::crash::stack::line::Role;
use crate::triage::crash::stack::{Frame, Item, name};

/// Finds it by the same rules as on a stack of the log. Returns whether the stack has it.
pub(crate) fn find_in_core(event: &EventView<'_>, stack: &[CoreFrame], blame: &mut Blame) -> bool {
    /// These frames are on no line of the log.
    const NO_LINE: usize = usize::MAX;
    let mut items = vec![Item::Begin(NO_LINE)];
    let mut interrupted = true;
    for frame in stack {
        let name = name::of(&frame.function);
        let role = if interrupted { Role::Pc } else { Role::Stack };
        interrupted = waiting::is_interrupt(&name);
        let frame = Frame::certain(NO_LINE, name, frame.module.clone());
        items.push(Item::Frame(Frame { role, ..frame }));
    }
    let event = EventView { items: &items, ..*event };
    let mut found = Blame::default();
    match event.kind().blame {
        BlameSource::Stall { every_stack } => waiting::stalled(&event, every_stack, &mut found),
        BlameSource::Wait => waiting::hung(&event, &mut found),
        _ => {}
    }
    if found.function.is_none() {
        found = Blame::default();
        event.first(&mut found, event.stack_from(event.begin()));
    }
    let skipped = found.skipped.into_iter().map(|skipped| Skipped { line: None, ..skipped });
    blame.skipped.extend(skipped);
    let has_function = found.function.is_some();
    if has_function {
        blame.function = found.function;
        blame.module = found.module;
        (blame.line, blame.guess, blame.substitute) = (None, false, false);
    }
    has_function
}
