//! Names that begin as what was typed: types, variables, symbols and members.
//!
//! Needs: a kernel with BTF, and what was typed so far. Gives: whole words, each of which begins
//! as the one that was typed. A shell puts them into a command line as they are, and the guest
//! chose the names: those that are no identifiers of C are left out.

use super::expression::{Base, Expression, steps};
use super::objects::walk_type;
use super::types::{CType, Lookup, Shape};
use crate::kernel::Kernel;
use crate::kernel::known_variables::known_variables;

/// The most names that are given.
const MOST: usize = 4096;
/// The longest name that is given, and the longest word that is completed.
const MAX_NAME: usize = 128;
const MAX_WORD: usize = 1024;

/// Which word is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// A type with members, or an expression whose variable has a type.
    Subject,
    /// An expression; the objects that are printed have this type.
    Expression {
        /// The type, as it was typed, perhaps with members.
        subject: &'a str,
        /// Whether the expression is an object of this type, and not its list or tree.
        is_itself: bool,
    },
    /// A member of the type that was typed.
    Member {
        /// The type, as it was typed, perhaps with members.
        subject: &'a str,
    },
}

impl Kernel {
    /// What a word can become, in alphabetical order. Nothing, if the kernel has no types.
    ///
    /// Where there are too many, the last one is among those that are given, so that what all of
    /// them begin with is right.
    pub fn complete(&self, word: Word<'_>, typed: &str) -> Vec<String> {
        let Some(lookup) = Lookup::new(self).ok().filter(|_| typed.len() <= MAX_WORD) else {
            return Vec::new();
        };
        let search = Search { lookup: &lookup, typed };
        let mut found = match word {
            Word::Subject => search.subject(),
            Word::Expression { subject, is_itself } => {
                search.expression(search.type_of(subject).filter(|_| is_itself))
            }
            Word::Member { subject } => {
                search.type_of(subject).map(|of| search.members(&of, typed)).unwrap_or_default()
            }
        };
        found.sort_unstable();
        found.dedup();
        if found.len() > MOST {
            let last = found.pop();
            found.truncate(MOST.saturating_sub(1));
            found.extend(last);
        }
        found
    }
}

struct Search<'a, 'k> {
    lookup: &'a Lookup<'k>,
    typed: &'a str,
}

impl Search<'_, '_> {
    /// The type of a subject, whatever members are wanted of it.
    fn type_of(&self, subject: &str) -> Option<CType> {
        let (name, _) = subject.split_once('.').unwrap_or((subject, ""));
        self.lookup.type_or_modules(name)
    }

    fn subject(&self) -> Vec<String> {
        if self.typed.contains(['@', '[']) || self.typed.contains("->") {
            return self.expression(None);
        }
        let Some((name, members)) = self.typed.split_once('.') else {
            let mut names = self.types(self.typed);
            if names.is_empty() {
                return self.end_of_variables(self.variables(self.typed));
            }
            names.extend(self.variables(self.typed));
            return names;
        };
        match self.lookup.type_or_modules(name) {
            Some(of) => {
                let (_, member) = members.rsplit_once(',').unwrap_or(("", members));
                self.members(&of, member)
            }
            None => self.expression(None),
        }
    }

    /// Types whose names begin so.
    fn types(&self, typed: &str) -> Vec<String> {
        let names = self.lookup.all_names().into_iter();
        let names = names.filter_map(|name| String::from_utf8(name).ok());
        names.filter(|name| name.starts_with(typed) && is_plain(name)).collect()
    }

    /// Variables whose names begin so, and whose types are not in question.
    fn variables(&self, typed: &str) -> Vec<String> {
        let own = self.lookup.variables_of_btf().into_iter();
        let own = own.filter_map(|name| String::from_utf8(name.to_vec()).ok());
        let others = known_variables().map(|(name, _)| name.to_owned());
        let mut names: Vec<String> =
            own.chain(others).filter(|name| name.starts_with(typed) && is_plain(name)).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.lookup.kernel.symbol(name).is_some());
        names
    }

    /// One that has members is given with a dot as well: a shell ends no word that can become two.
    fn end_of_variables(&self, mut names: Vec<String>) -> Vec<String> {
        if let [one] = &names[..]
            && self.lookup.variable(one).is_some_and(|(of, _)| self.has_members(&of))
        {
            names.push(format!("{one}."));
        }
        names
    }

    /// The rest of an expression whose base has this type, if it is known.
    fn expression(&self, of: Option<CType>) -> Vec<String> {
        let (base_type, rest) = match self.typed.split_once('@') {
            Some((name, rest)) => (self.lookup.type_or_modules(name.trim()), rest),
            None => (None, self.typed),
        };
        let Some(start) = rest.find(['.', '[']).into_iter().chain(rest.find("->")).min() else {
            return self.symbols(rest, base_type.or(of).as_ref());
        };
        let (base, path) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let of_variable = || match Expression::parse(base).ok()?.base {
            Base::Symbol(name) => Some(self.lookup.variable(&name)?.0),
            Base::Address(_) => None,
        };
        match base_type.or(of).or_else(of_variable) {
            Some(of) => self.members(&of, path),
            None => Vec::new(),
        }
    }

    /// Symbols that begin so: of data, else of code. Where nothing was typed, variables alone.
    fn symbols(&self, typed: &str, of: Option<&CType>) -> Vec<String> {
        let Some(before) = self.typed.strip_suffix(typed) else { return Vec::new() };
        let mut names = match (typed, self.lookup.kernel.symbols()) {
            ("", _) => self.variables(""),
            (_, Ok(symbols)) => {
                let (mut data, mut code) = (Vec::new(), Vec::new());
                for (_, letter, name) in symbols.iter() {
                    if name.starts_with(typed) && is_plain(&name) {
                        let is_code = matches!(letter.to_ascii_lowercase(), b't' | b'w');
                        if is_code { &mut code } else { &mut data }.push(name.into_owned());
                    }
                }
                if data.is_empty() { code } else { data }
            }
            (_, Err(_)) => Vec::new(),
        };
        names.sort_unstable();
        names.dedup();
        names = match of {
            None => self.end_of_variables(names),
            Some(of) if names.len() == 1 && self.has_members(of) => {
                names.iter().flat_map(|name| [name.clone(), format!("{name}.")]).collect()
            }
            Some(_) => names,
        };
        names.into_iter().map(|name| format!("{before}{name}")).collect()
    }

    /// What the last member of `path` can become: `.mm.pg`, `->mm[1].pg`, or without what is
    /// before the first one, `mm.pg`. It ends what was typed.
    fn members(&self, of: &CType, path: &str) -> Vec<String> {
        let behind = |separator: &str| Some(path.rfind(separator)?.saturating_add(separator.len()));
        let start = behind(".").into_iter().chain(behind("->")).max().unwrap_or(0);
        let (path, typed) = path.split_at_checked(start).unwrap_or((path, ""));
        let path = path.strip_suffix('.').or_else(|| path.strip_suffix("->")).unwrap_or(path);
        let dot = if path.is_empty() || path.starts_with(['.', '[', '-']) { "" } else { "." };
        let end = steps(&format!("{dot}{path}"))
            .ok()
            .and_then(|steps| walk_type(self.lookup, of.clone(), &steps).ok())
            .and_then(|end| self.with_members(&end));
        let (Some(of), Some(before)) = (end, self.typed.strip_suffix(typed)) else {
            return Vec::new();
        };
        let names = of.member_names().into_iter();
        let names = names.filter_map(|name| std::str::from_utf8(name).ok());
        let mut names: Vec<&str> =
            names.filter(|name| name.starts_with(typed) && is_plain(name)).collect();
        names.sort_unstable();
        names.dedup();
        let mut words: Vec<String> = names.iter().map(|name| format!("{before}{name}")).collect();
        if let [one] = &names[..]
            && let Some(member) = of.btf.member_of(of.id, one)
            && self.has_members(&of.other(member.id))
        {
            words.push(format!("{before}{one}."));
        }
        words
    }

    /// The structure or union that a type is, or leads to.
    fn with_members(&self, of: &CType) -> Option<CType> {
        let of = match of.shape() {
            Shape::Pointer(to) => to,
            _ => of.clone(),
        };
        let of = self.lookup.complete(&of).unwrap_or(of);
        let is_aggregate = matches!(of.shape(), Shape::Plain(found) if found.kind.is_aggregate());
        is_aggregate.then_some(of)
    }

    fn has_members(&self, of: &CType) -> bool {
        self.with_members(of).is_some()
    }
}

/// Whether a name is one of C's. All others could be read by a shell as something else.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.len() <= MAX_NAME
        && name.bytes().all(plain)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
}
