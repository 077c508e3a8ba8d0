//! Which of the kernel's types a module's file needs.
//!
//! ```text
//! the module's types ──by value──► all of a type    members, elements, what a typedef is of
//!                    ──pointer───► its name alone   structures and unions that have one
//! ```
//!
//! Debuggers look a structure that is only declared up by its name, in the kernel's file. So a
//! module's file has its own types and a few of the kernel's, and not 100,000.

use vmcore_formats::btf::{Btf, Kind, Type};

use super::sound::MAX_PARAMETERS;

/// How much of a type is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    #[default]
    Nothing,
    /// A declaration.
    Name,
    All,
}

/// What is needed of each type of the base, in ascending order of their numbers.
pub(super) fn of_base(btf: &Btf) -> Vec<(u32, Need)> {
    let first = btf.first_id();
    let count = usize::try_from(first).unwrap_or_default();
    let mut needs = vec![Need::Nothing; count];
    let mut work: Vec<(u32, Need)> = Vec::new();
    for found in btf.types() {
        edges(&found, Need::All, &mut |to, need| work.push((to, need)));
        while let Some((id, need)) = work.pop() {
            let known = usize::try_from(id).ok().and_then(|id| needs.get_mut(id));
            let Some(known) = known.filter(|known| **known < need) else { continue };
            *known = need;
            let Some(found) = btf.by_id(id) else { continue };
            edges(&found, need, &mut |to, need| work.push((to, need)));
        }
    }
    let all = (0..first).zip(needs);
    all.filter(|(_, need)| *need != Need::Nothing).collect()
}

/// Whether a declaration is all that there is to write of a type.
pub(super) fn is_name_only(found: &Type<'_>, need: Need) -> bool {
    need == Need::Name && found.kind.is_aggregate() && found.name_offset() != 0
}

fn edges(found: &Type<'_>, need: Need, visit: &mut dyn FnMut(u32, Need)) {
    if is_name_only(found, need) {
        return;
    }
    match found.kind {
        Kind::Struct | Kind::Union => {
            found.members().for_each(|member| visit(member.id, Need::All));
        }
        Kind::Array => found.array().into_iter().for_each(|array| visit(array.element, Need::All)),
        Kind::Ptr => visit(found.size_or_type, Need::Name),
        Kind::FuncProto => {
            visit(found.size_or_type, Need::Name);
            let parameters = found.parameters().take(MAX_PARAMETERS);
            parameters.for_each(|parameter| visit(parameter.id, Need::Name));
        }
        // The prototype, which has to be there as a whole.
        Kind::Func => visit(found.size_or_type, Need::All),
        kind if kind.is_alias() => visit(found.size_or_type, need),
        _ => {}
    }
}
