//! The guilty function: the one that an event is named by.
//!
//! Needs: an event's header, its stacks and the families. Gives: the function, and which ones
//! were passed over on the way to it, with the family that says so. The title is made elsewhere
//! ([`super::title`]).

mod from_core;
mod scene;
mod waiting;

use super::kind::{Kind, Source};
use super::stack::line::Role;
use super::stack::{Frame, Item};
pub(crate) use from_core::of_core;
pub(crate) use scene::Scene;

/// A function that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// The function.
    pub(crate) function: String,
    /// Index of the line, if it is from one.
    pub(crate) line: Option<usize>,
    /// The family that says so.
    pub(crate) family: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guilt {
    /// The function, with a system call's prefix.
    pub(crate) function: Option<String>,
    pub(crate) module: Option<String>,
    /// Index of the line that names it.
    pub(crate) line: Option<usize>,
    /// The kernel was not sure that it was called.
    pub(crate) guess: bool,
    /// Where the processor was.
    pub(crate) pc: Option<(String, Option<String>)>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Instead of a family: the address that what does not return would return to is that of the
/// function behind its caller.
const NO_RETURN: &str = "(behind a function that does not return)";

/// Finds the guilty function.
pub(crate) fn find(scene: &Scene<'_>) -> Guilt {
    let mut guilt = Guilt { pc: scene.pc(), ..Guilt::default() };
    let source = scene.header.kind.rule().source;
    match source {
        Source::None => guilt.function.clone_from(&scene.header.function),
        Source::Header => {
            let named = scene.named();
            scene.first(&mut guilt, named.iter().chain(scene.stack_from(scene.begin())));
        }
        Source::HeaderBehind => {
            let named = scene.named();
            scene.first(&mut guilt, named.iter().chain(scene.stack_behind(scene.header.line)));
        }
        Source::Pc => {
            let named = scene.named();
            if let Some(pc) = scene.pc_at() {
                scene.first(&mut guilt, scene.stack_from(Some(pc)));
            } else if scene.header.kind.is_warning() && scene.has_stack() {
                scene.first(&mut guilt, named.iter());
            }
            if guilt.function.is_none() {
                scene.first(&mut guilt, scene.stack_from(scene.begin()));
            }
            if guilt.function.is_none() && scene.kind() == Kind::HeaderLost {
                // It is all that is left, and the bucket is not relied on.
                let pc = scene.pc_at().and_then(|at| scene.items.get(at)).and_then(Item::frame);
                pc.into_iter().for_each(|pc| guilt.take(pc));
                guilt.guess = true;
            }
        }
        Source::PcOnly => scene.first(&mut guilt, scene.stack_from(scene.pc_at())),
        Source::Trace => scene.first(&mut guilt, scene.stack_from(scene.begin())),
        Source::Behind => {
            scene.first(&mut guilt, scene.stack_behind(scene.header.line));
            if guilt.function.is_none() {
                scene.first(&mut guilt, scene.stack_from(scene.begin()));
            }
        }
        Source::After(mark) => {
            let from = scene.mark(mark);
            let kept = from.map(|from| scene.stack_behind(from)).into_iter().flatten();
            scene.first(&mut guilt, kept);
        }
        Source::At(count) => {
            let named = scene.at(count);
            scene.first(&mut guilt, named.iter().chain(scene.stack_from(scene.begin())));
        }
        Source::Lock => match scene.at(1).first() {
            Some(named) => guilt.take(named),
            None => scene.first(&mut guilt, scene.stack_from(scene.begin())),
        },
        Source::Stall => waiting::stalled(scene, &mut guilt),
        Source::Hung => waiting::hung(scene, &mut guilt),
    }
    guilt
}

/// Where the value came from that a sanitizer found to be uninitialised, if it is worth a title:
/// what leaks to a device is as well known by it.
pub(crate) fn origin(scene: &Scene<'_>) -> Option<String> {
    if scene.kind() != Kind::KmsanUsb {
        return None;
    }
    let mut found = Guilt::default();
    scene.first(&mut found, scene.stack_behind(scene.mark(" created at:")?));
    found.function
}

impl Scene<'_> {
    /// Takes the first function that no family covers.
    fn first<'f>(&self, guilt: &mut Guilt, frames: impl Iterator<Item = &'f Frame>) {
        let mut callee_ends = false;
        for frame in frames.filter(|frame| frame.reliable) {
            let lost = callee_ends && frame.at_start;
            callee_ends = matches!(frame.name.as_str(), "panic" | "vpanic" | "nmi_panic");
            match if lost { Some(NO_RETURN) } else { self.family(frame) } {
                Some(family) => guilt.skip(frame, family),
                None => {
                    guilt.take(frame);
                    return;
                }
            }
        }
    }

    /// The family by which a frame is passed over. Those of modules' own functions are not:
    /// a driver's `foo_put` is no kernel's.
    fn family(&self, frame: &Frame) -> Option<&str> {
        if frame.module.is_some() && frame.role != Role::Pc {
            return None;
        }
        self.families.of(&frame.name, self.header.kind.rule().families)
    }
}

impl Guilt {
    fn skip(&mut self, frame: &Frame, family: &str) {
        self.skipped.push(Skipped {
            function: frame.name.clone(),
            line: Some(frame.line),
            family: family.to_owned(),
        });
    }

    fn take(&mut self, frame: &Frame) {
        self.function = Some(frame.name.clone());
        self.module.clone_from(&frame.module);
        self.line = Some(frame.line);
        self.guess = frame.guess;
    }
}
