//! The objects that an expression means, and what is printed of them.

use vmcore_formats::addr::VirtAddr;

use super::chain::Link;
use super::expression::{Base, Expression, Step, steps};
use super::read::Reader;
use super::types::{CType, Lookup, Named, Shape};
use super::value::{MemberValue, PrintedObject, Value};
use super::{Cpus, Objects, PrintError, Printed, Query};
use crate::kernel::Kernel;

/// The most CPUs that are named in a message.
const MAX_NAMED: usize = 64;

/// Where something is, and of which type.
#[derive(Clone, Debug)]
struct Place {
    of: CType,
    at: VirtAddr,
    /// The first bit, and how many there are, of a bit field.
    bits: Option<(u64, u32)>,
}

/// Looks for the objects of a query, and reads them.
pub(super) fn find(
    lookup: &Lookup<'_>,
    named: &Option<Named>,
    expression: &Expression,
    query: &Query,
) -> Result<Printed, PrintError> {
    let search = Search { lookup, named: named.as_ref(), expression, query };
    let mut reader = Reader::new(lookup, query.elements);
    let mut objects = Vec::new();
    let mut left_out = 0_u64;
    let mut result: Option<CType> = None;
    for (cpu, place) in search.starts()? {
        for place in search.objects(place, &mut left_out)? {
            if let Some(members) = named.as_ref().map(|named| &named.members) {
                check_members(lookup, &place.of, members)?;
            }
            let value = search.value(&mut reader, &place);
            let address = place.bits.is_none().then_some(place.at.0);
            let symbol = address.and_then(|at| reader.symbol(at));
            objects.push(PrintedObject { address, symbol, cpu, value });
            result.get_or_insert(place.of);
        }
    }
    let of = match (result, named) {
        (Some(of), _) => Some(of),
        (None, named) => named.as_ref().map(|named| named.of.clone()),
    };
    Ok(Printed {
        type_name: of.as_ref().map(CType::name).unwrap_or_default(),
        size: of.as_ref().and_then(CType::size),
        module: of.and_then(|of| of.module),
        layout: None,
        objects,
        left_out,
        findings: Vec::new(),
    })
}

struct Search<'a, 'k> {
    lookup: &'a Lookup<'k>,
    named: Option<&'a Named>,
    expression: &'a Expression,
    query: &'a Query,
}

impl Search<'_, '_> {
    fn kernel(&self) -> &Kernel {
        self.lookup.kernel
    }

    /// The ends of the expression: one, or one of each CPU.
    fn starts(&self) -> Result<Vec<(Option<u32>, Place)>, PrintError> {
        let Expression { base_type, base, path } = self.expression;
        let variable = match base {
            Base::Symbol(name) => self.lookup.variable(name),
            Base::Address(_) => None,
        };
        let is_per_cpu = match (&variable, base) {
            (Some((_, is_per_cpu)), _) => *is_per_cpu,
            (None, Base::Symbol(name)) => self.lookup.is_per_cpu(name),
            (None, Base::Address(_)) => path.is_empty() && self.query.cpu.is_some(),
        };
        let at = match base {
            Base::Address(at) => VirtAddr(*at),
            Base::Symbol(name) => self.kernel().symbol(name).ok_or_else(|| {
                let nearest = self.lookup.symbols_nearest(name);
                PrintError::NoSymbol { name: name.clone(), nearest }
            })?,
        };
        let of = match (base_type, self.named, variable) {
            (Some(text), ..) => self.lookup.type_named(text)?,
            // A head or a root is no entry.
            (None, Some(_), Some((of, _))) if self.query.objects != Objects::Itself => of,
            (None, Some(named), _) => named.of.clone(),
            (None, None, Some((of, _))) => of,
            (None, None, None) => return Err(PrintError::Untyped { name: base.to_string() }),
        };
        let cpus = self.cpus()?;
        if is_per_cpu && cpus.is_empty() {
            return Err(PrintError::PerCpu { name: base.to_string() });
        }
        let end = |at| self.walk(Place { of: of.clone(), at, bits: None }, path);
        if cpus.is_empty() {
            return Ok(vec![(None, end(at)?)]);
        }
        let mut starts = Vec::new();
        for cpu in cpus {
            let moved = |at: VirtAddr| {
                let at = self.kernel().per_cpu(at, cpu);
                at.ok_or_else(|| self.no_cpu(cpu))
            };
            let place = if is_per_cpu {
                end(moved(at)?)?
            } else {
                // Not the variable is per-CPU, but what a pointer in it leads to.
                let pointer = end(at)?;
                let Shape::Pointer(of) = pointer.of.shape() else {
                    let problem =
                        "--cpu takes a per-CPU variable, or a pointer to per-CPU memory".to_owned();
                    return Err(PrintError::NotFollowed { path: self.text(path), problem });
                };
                let to = self.read_pointer(&pointer, path)?;
                Place { of, at: moved(to)?, bits: None }
            };
            starts.push((Some(cpu), place));
        }
        Ok(starts)
    }

    fn cpus(&self) -> Result<Vec<u32>, PrintError> {
        let possible = self.kernel().possible_cpus();
        match self.query.cpu {
            None => Ok(Vec::new()),
            Some(Cpus::All) => Ok(possible.to_vec()),
            Some(Cpus::One(cpu)) if possible.contains(&cpu) => Ok(vec![cpu]),
            Some(Cpus::One(cpu)) => Err(self.no_cpu(cpu)),
        }
    }

    fn no_cpu(&self, cpu: u32) -> PrintError {
        let possible = self.kernel().possible_cpus();
        let shown: Vec<_> = possible.iter().take(MAX_NAMED).map(ToString::to_string).collect();
        let all = if shown.is_empty() { "none that is known".to_owned() } else { shown.join(", ") };
        PrintError::NoCpu { cpu, all }
    }

    /// The objects that an end of the expression means.
    fn objects(&self, end: Place, left_out: &mut u64) -> Result<Vec<Place>, PrintError> {
        let member = match (&self.query.objects, self.named) {
            (Objects::Itself, Some(named)) => {
                if self.expression.base_type.is_none() {
                    return Ok(vec![end]);
                }
                // A structure is where a pointer leads to, and not in its place.
                let of = named.of.clone();
                let is_plain =
                    matches!(of.shape(), Shape::Plain(found) if found.kind.is_aggregate());
                let at = if is_plain { self.pointed(&end)? } else { end.at };
                let bits = end.bits.filter(|_| !is_plain);
                return Ok(vec![Place { of, at, bits }]);
            }
            (Objects::Itself, None) => return Ok(vec![end]),
            (Objects::ContainerOf(member) | Objects::List(member) | Objects::Tree(member), _) => {
                member
            }
        };
        let of = self.named.map_or_else(|| end.of.clone(), |named| named.of.clone());
        let linked = walk_place(self.lookup, of.clone(), &path_of(member)?)?;
        let offset = linked.at.0;
        let no_link = |wanted| PrintError::NoLink {
            structure: of.name(),
            member: member.clone(),
            found: linked.of.name(),
            wanted,
        };
        let link = match self.query.objects {
            Objects::List(_) => Link::of_list(&of, &linked.of).ok_or_else(|| no_link("list"))?,
            Objects::Tree(_) => {
                Link::of_tree(&linked.of).ok_or_else(|| no_link("red-black tree"))?
            }
            _ => {
                let at = self.pointed(&end)?.wrapping_sub(offset);
                return Ok(vec![Place { of, at, bits: None }]);
            }
        };
        let head = if link == Link::Pointer { end.at } else { self.pointed(&end)? };
        let (entries, finding) = link.entries(self.lookup, head, offset, &of.name())?;
        if let Some(finding) = finding {
            self.lookup.note(finding);
        }
        let rest = entries.len().saturating_sub(self.query.elements);
        *left_out = left_out.saturating_add(rest as u64);
        let shown = entries.into_iter().take(self.query.elements);
        Ok(shown.map(|at| Place { of: of.clone(), at, bits: None }).collect())
    }

    /// Where a place is; of a pointer, where that leads.
    fn pointed(&self, end: &Place) -> Result<VirtAddr, PrintError> {
        let is_given = self.expression.path.is_empty() && self.expression.base_type.is_none();
        match end.of.shape() {
            Shape::Pointer(_) if !is_given => self.read_pointer(end, &self.expression.path),
            _ => Ok(end.at),
        }
    }

    /// What is printed of an object.
    fn value(&self, reader: &mut Reader<'_, '_>, place: &Place) -> Value {
        let members = self.named.map(|named| named.members.as_slice()).unwrap_or_default();
        if members.is_empty() {
            return read(reader, place, self.query.depth);
        }
        let values = members.iter().map(|member| {
            let found = path_of(member).and_then(|path| self.walk(place.clone(), &path));
            let value = match found {
                Ok(found) => read(reader, &found, self.query.depth),
                Err(error) => Value::Unreadable(error.to_string()),
            };
            MemberValue { name: member.clone(), value }
        });
        Value::Members(values.collect())
    }

    /// Follows a path from a place.
    fn walk(&self, start: Place, path: &[Step]) -> Result<Place, PrintError> {
        let mut place = start;
        for (number, step) in path.iter().enumerate() {
            if let Shape::Pointer(to) = place.of.shape() {
                let behind = path.get(..number).unwrap_or_default();
                let at = self.read_pointer(&place, behind)?;
                place = Place { of: to, at, bits: None };
                if let Step::Index(index) = step {
                    place = element(place, *index, None, &self.text(path))?;
                    continue;
                }
            }
            place = one_step(self.lookup, place, step)?;
        }
        Ok(place)
    }

    fn read_pointer(&self, place: &Place, path: &[Step]) -> Result<VirtAddr, PrintError> {
        let not_followed = |problem| PrintError::NotFollowed { path: self.text(path), problem };
        let to = self.kernel().space.read_u64(place.at);
        match to.map_err(|error| not_followed(error.to_string()))? {
            0 => Err(not_followed("it is null".to_owned())),
            to => Ok(VirtAddr(to)),
        }
    }

    fn text(&self, path: &[Step]) -> String {
        let steps: String = path.iter().map(ToString::to_string).collect();
        format!("{}{steps}", self.expression.base)
    }
}

fn read(reader: &mut Reader<'_, '_>, place: &Place, depth: usize) -> Value {
    match place.bits {
        Some((bit, bits)) => reader.bit_field(&place.of, place.at, bit, bits),
        None => reader.value(&place.of, place.at, depth),
    }
}

/// `pid`, `se.vruntime`, `mm->pgd`: as typed behind a type's dot.
fn path_of(member: &str) -> Result<Vec<Step>, PrintError> {
    steps(&format!(".{member}")).map_err(|problem| PrintError::Syntax {
        text: member.to_owned(),
        what: "member",
        problem,
    })
}

/// Checks the names of members without reading anything, as far as that goes.
fn check_members(lookup: &Lookup<'_>, of: &CType, members: &[String]) -> Result<(), PrintError> {
    for member in members {
        walk_place(lookup, of.clone(), &path_of(member)?)?;
    }
    Ok(())
}

/// The type at the end of a path.
pub(super) fn walk_type(
    lookup: &Lookup<'_>,
    start: CType,
    path: &[Step],
) -> Result<CType, PrintError> {
    walk_place(lookup, start, path).map(|place| place.of)
}

/// Follows a path by types alone: the offset is that from the last pointer.
fn walk_place(lookup: &Lookup<'_>, start: CType, path: &[Step]) -> Result<Place, PrintError> {
    let mut place = Place { of: start, at: VirtAddr(0), bits: None };
    for step in path {
        if let Shape::Pointer(to) = place.of.shape() {
            place = Place { of: to, at: VirtAddr(0), bits: None };
            if matches!(step, Step::Index(_)) {
                continue;
            }
        }
        place = one_step(lookup, place, step)?;
    }
    Ok(place)
}

/// A member or an element of what is no pointer.
fn one_step(lookup: &Lookup<'_>, place: Place, step: &Step) -> Result<Place, PrintError> {
    let of = lookup.complete(&place.of).unwrap_or(place.of.clone());
    match (step, of.shape()) {
        (Step::Index(index), Shape::Array { element: inner, count }) => {
            let count = Some(count).filter(|count| *count > 0);
            element(Place { of: inner, ..place }, *index, count, &of.name())
        }
        (Step::Index(index), _) => Err(PrintError::NotFollowed {
            path: format!("[{index}]"),
            problem: format!("{} is no array", of.name()),
        }),
        (Step::Member(name), _) => {
            let found = if of.derived.is_empty() { of.btf.member_of(of.id, name) } else { None };
            let found = found.ok_or_else(|| PrintError::NoMember {
                structure: of.name(),
                member: name.clone(),
                nearest: Lookup::member_nearest(&of, name),
            })?;
            let at = place.at.wrapping_add(found.bit / 8);
            let bits = (found.bits > 0).then_some((found.bit % 8, found.bits));
            Ok(Place { of: of.other(found.id), at, bits })
        }
    }
}

fn element(place: Place, index: u64, count: Option<u64>, of: &str) -> Result<Place, PrintError> {
    let not_followed = |problem| PrintError::NotFollowed { path: format!("[{index}]"), problem };
    if let Some(count) = count.filter(|count| index >= *count) {
        return Err(not_followed(format!("{of} has {count} elements")));
    }
    let size = place.of.size().ok_or_else(|| not_followed(format!("{of} has no size")))?;
    let at = place.at.wrapping_add(index.wrapping_mul(size));
    Ok(Place { at, ..place })
}
