//! Types by their names, and what is made of them: the kernel's, else a module's.

use std::cell::RefCell;
use std::sync::Arc;

use vmcore_formats::btf::{Btf, Kind, Type};
use vmcore_formats::text::{self, MAX_NAME};

use super::expression::{Base, Expression};
use super::nearest::nearest;
use super::{PrintError, Query};
use crate::kernel::Kernel;

/// The most pointers and arrays of a type that is typed.
const MAX_DERIVED: usize = 8;
/// The longest chain of typedefs.
const MAX_ALIASES: usize = 32;

/// A type: one of BTF, and what is derived from it.
#[derive(Clone, Debug)]
pub(super) struct CType {
    pub(super) btf: Arc<Btf>,
    pub(super) id: u32,
    /// From the inside out.
    pub(super) derived: Vec<Derived>,
    /// The module that it is of.
    pub(super) module: Option<String>,
}

/// What is derived from a type of BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Derived {
    Pointer,
    Array(u64),
}

/// What a value of a type is made of.
pub(super) enum Shape<'t> {
    Pointer(CType),
    Array { element: CType, count: u64 },
    Plain(Type<'t>),
    Void,
}

impl CType {
    /// A type of the same BTF.
    pub(super) fn other(&self, id: u32) -> Self {
        Self { btf: Arc::clone(&self.btf), id, derived: Vec::new(), module: self.module.clone() }
    }

    /// What it is, without typedefs and qualifiers.
    pub(super) fn shape(&self) -> Shape<'_> {
        let mut inner = self.clone();
        match inner.derived.pop() {
            Some(Derived::Pointer) => return Shape::Pointer(inner),
            Some(Derived::Array(count)) => return Shape::Array { element: inner, count },
            None => {}
        }
        let Some(found) = self.btf.strip(self.id) else { return Shape::Void };
        match (found.kind, found.array()) {
            (Kind::Ptr, _) => Shape::Pointer(self.other(found.size_or_type)),
            (Kind::Array, Some(array)) => {
                Shape::Array { element: self.other(array.element), count: array.count.into() }
            }
            _ => Shape::Plain(found),
        }
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> Option<u64> {
        let mut size = self.btf.size_of(self.id);
        for derived in &self.derived {
            size = match derived {
                Derived::Pointer => Some(8),
                Derived::Array(count) => size?.checked_mul(*count),
            };
        }
        size
    }

    /// Its name in C.
    pub(super) fn name(&self) -> String {
        let mut declared = String::new();
        for derived in self.derived.iter().rev() {
            declared = match derived {
                Derived::Pointer => format!("*{declared}"),
                Derived::Array(count) if declared.starts_with('*') => {
                    format!("({declared})[{count}]")
                }
                Derived::Array(count) => format!("{declared}[{count}]"),
            };
        }
        let base = self.btf.c_name(self.id);
        if declared.is_empty() { base } else { format!("{base} {declared}") }
    }

    /// Whether it is `char`, by its name: compilers do not mark it.
    pub(super) fn is_char(&self) -> bool {
        self.derived.is_empty()
            && self.btf.strip(self.id).is_some_and(|found| {
                found.kind == Kind::Int && found.size_or_type == 1 && found.name() == b"char"
            })
    }

    /// Whether it is the structure of this name.
    pub(super) fn is_structure(&self, name: &str) -> bool {
        let plain = self.btf.strip(self.id).filter(|_| self.derived.is_empty());
        plain.is_some_and(|found| found.kind == Kind::Struct && found.name() == name.as_bytes())
    }

    /// The names of all members, those of anonymous members included.
    pub(super) fn member_names(&self) -> Vec<&[u8]> {
        let mut names = Vec::new();
        let mut inner = vec![self.id];
        for _ in 0..MAX_ALIASES {
            let Some(found) = inner.pop().and_then(|id| self.btf.strip(id)) else { break };
            for member in found.members() {
                match member.name {
                    [] => inner.push(member.id),
                    name => names.push(name),
                }
            }
        }
        names
    }
}

/// A type that was typed, and the members that are wanted of it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) of: CType,
    /// Paths, each with what it was typed as. Empty for all.
    pub(super) members: Vec<String>,
}

/// What is asked for.
pub(super) enum Subject {
    Layout(Named),
    Objects { named: Option<Named>, expression: Expression },
}

/// A type that was found.
struct Found {
    btf: Arc<Btf>,
    id: u32,
    /// How many types have its name.
    count: usize,
    module: Option<String>,
}

/// Looks in BTF for a type: its number, and how many there are.
type Find<'f> = &'f dyn Fn(&Arc<Btf>) -> Option<(u32, usize)>;

/// Look-ups of one query.
pub(super) struct Lookup<'k> {
    pub(super) kernel: &'k Kernel,
    pub(super) btf: Arc<Btf>,
    findings: RefCell<Vec<String>>,
}

impl<'k> Lookup<'k> {
    pub(super) fn new(kernel: &'k Kernel) -> Result<Self, PrintError> {
        let types = kernel.types().map_err(Clone::clone)?;
        let btf = Arc::clone(types.btf().ok_or(PrintError::Inferred)?);
        Ok(Self { kernel, btf, findings: RefCell::default() })
    }

    /// Keeps a sentence on what is missing or damaged.
    pub(super) fn note(&self, finding: String) {
        self.findings.borrow_mut().push(finding);
    }

    /// The structure of a type that is declared only, if one has its name.
    pub(super) fn complete(&self, of: &CType) -> Option<CType> {
        let found = of.btf.strip(of.id).filter(|found| found.kind == Kind::Fwd)?;
        let name = String::from_utf8_lossy(found.name()).into_owned();
        let find = |btf: &Arc<Btf>| {
            let all = btf.named(&name);
            all.iter().find(|one| one.kind.is_aggregate()).map(|one| (one.id, 1))
        };
        let found = self.in_kernel(&find).or_else(|| self.in_modules(&find))?;
        let Found { btf, id, module, .. } = found;
        Some(CType { btf, id, derived: of.derived.clone(), module })
    }

    /// What was found out beside the answers, as sentences.
    pub(super) fn findings(&self) -> Vec<String> {
        self.findings.take()
    }

    /// What a query is about.
    pub(super) fn subject(&self, query: &Query) -> Result<Subject, PrintError> {
        if query.expression.is_none()
            && let Some(expression) = self.variable_alone(&query.subject)
        {
            return Ok(Subject::Objects { named: None, expression });
        }
        let named = match (self.named(&query.subject), &query.expression) {
            (Ok(named), None) => return Ok(Subject::Layout(named)),
            (Ok(named), Some(_)) => Some(named),
            (Err(error), Some(_)) => return Err(error),
            // No type: a variable, whose type is known.
            (Err(error), None) => {
                let expression = Expression::parse(&query.subject).map_err(|_| error.clone())?;
                let is_base = match &expression.base {
                    Base::Symbol(name) => self.kernel.symbol(name).is_some(),
                    Base::Address(_) => true,
                };
                if !is_base && expression.base_type.is_none() {
                    return Err(error);
                }
                return Ok(Subject::Objects { named: None, expression });
            }
        };
        let text = query.expression.as_deref().unwrap_or_default();
        Ok(Subject::Objects { named, expression: Expression::parse(text)? })
    }

    /// An expression that begins with a variable of the kernel, if no type of the kernel has its
    /// name. To look for one in modules, their types are read.
    fn variable_alone(&self, subject: &str) -> Option<Expression> {
        let expression = Expression::parse(subject).ok()?;
        let Base::Symbol(name) = &expression.base else { return None };
        let is_type = self.find_plain(name, false).is_some();
        let is_variable = !is_type && self.kernel.symbol(name).is_some();
        (is_variable && self.variable(name).is_some()).then_some(expression)
    }

    /// A type, with members behind a dot.
    fn named(&self, text: &str) -> Result<Named, PrintError> {
        let (name, members) = text.split_once('.').unwrap_or((text, ""));
        let members = members.split(',').filter(|member| !member.is_empty());
        Ok(Named { of: self.type_named(name)?, members: members.map(str::to_owned).collect() })
    }

    /// `struct list_head`, `list_head`, `pid_t`, `char *`, `long [4]`.
    pub(super) fn type_named(&self, text: &str) -> Result<CType, PrintError> {
        let end = text.find(['*', '[']).unwrap_or(text.len());
        let (name, derived) = text.split_at_checked(end).unwrap_or((text, ""));
        let mut of = self.plain_type(name.trim(), text)?;
        of.derived = parse_derived(derived).map_err(|problem| PrintError::Syntax {
            text: text.to_owned(),
            what: "type",
            problem,
        })?;
        Ok(of)
    }

    /// A type of the kernel by its name, with pointers behind it. Nothing similar is looked for.
    pub(super) fn known_type(&self, text: &str) -> Option<CType> {
        self.existing_type(text, false)
    }

    /// The same, of the kernel or of a module.
    pub(super) fn type_or_modules(&self, text: &str) -> Option<CType> {
        self.existing_type(text, true)
    }

    fn existing_type(&self, text: &str, with_modules: bool) -> Option<CType> {
        let end = text.find('*').unwrap_or(text.len());
        let (name, derived) = text.split_at_checked(end)?;
        let derived = parse_derived(derived).ok()?;
        if name.trim() == "void" {
            return Some(CType { btf: Arc::clone(&self.btf), id: 0, derived, module: None });
        }
        let Found { btf, id, module, .. } = self.find_plain(name.trim(), with_modules)?;
        Some(CType { btf, id, derived, module })
    }

    fn plain_type(&self, name: &str, text: &str) -> Result<CType, PrintError> {
        let Some(found) = self.find_plain(name, true) else {
            let all: Vec<Vec<u8>> = self.all_names();
            let bare = without_keyword(name).1;
            let nearest = nearest(bare, all.iter().map(Vec::as_slice));
            return Err(PrintError::NoType { name: text.trim().to_owned(), nearest });
        };
        let Found { btf, id, count, module } = found;
        if count > 1 {
            let bare = without_keyword(name).1;
            self.note(format!("{count} types are named {bare}: the first one was taken"));
        }
        Ok(CType { btf, id, derived: Vec::new(), module })
    }

    fn find_plain(&self, name: &str, with_modules: bool) -> Option<Found> {
        let (keyword, bare) = without_keyword(name);
        let fits = |kind: Kind| match keyword {
            Some("struct") => kind == Kind::Struct,
            Some("union") => kind == Kind::Union,
            Some(_) => matches!(kind, Kind::Enum | Kind::Enum64),
            None => true,
        };
        let find = |btf: &Arc<Btf>| {
            let own = |found: &Type<'_>| fits(found.kind);
            let all: Vec<u32> =
                btf.named(bare).iter().filter(|one| own(one)).map(|one| one.id).collect();
            all.first().map(|first| (*first, all.len()))
        };
        let found = self.in_kernel(&find).or_else(|| self.number(bare));
        found.or_else(|| with_modules.then(|| self.in_modules(&find)).flatten())
    }

    fn in_kernel(&self, find: Find<'_>) -> Option<Found> {
        let (id, count) = find(&self.btf)?;
        Some(Found { btf: Arc::clone(&self.btf), id, count, module: None })
    }

    /// A number's type, which is not indexed: `int`, `long unsigned int`.
    fn number(&self, name: &str) -> Option<Found> {
        let words = number_words(name);
        if words.is_empty() {
            return None;
        }
        let is_it = |found: &Type<'_>| {
            let is_number = matches!(found.kind, Kind::Int | Kind::Float);
            is_number && number_words(&String::from_utf8_lossy(found.name())) == words
        };
        let found = self.btf.types().find(is_it)?;
        Some(Found { btf: Arc::clone(&self.btf), id: found.id, count: 1, module: None })
    }

    /// The type in the first module that has it.
    fn in_modules(&self, find: Find<'_>) -> Option<Found> {
        let modules = &self.kernel.modules().modules;
        modules.iter().find_map(|module| {
            let types = self.kernel.module_types(module.at).ok()?;
            let btf = types.btf()?;
            let (id, count) = find(btf)?;
            Some(Found { btf: Arc::clone(btf), id, count, module: Some(module.name.clone()) })
        })
    }

    /// The names of all types.
    pub(super) fn all_names(&self) -> Vec<Vec<u8>> {
        let named = |btf: &Btf| -> Vec<Vec<u8>> {
            let indexed = btf.types().filter(|found| found.kind.is_indexed());
            indexed.map(|found| found.name().to_vec()).collect()
        };
        let mut names = named(&self.btf);
        for module in &self.kernel.modules().modules {
            if let Some(btf) =
                self.kernel.module_types(module.at).ok().as_ref().and_then(|types| types.btf())
            {
                names.extend(named(btf));
            }
        }
        names
    }

    /// The names of all variables in BTF.
    pub(super) fn variables_of_btf(&self) -> Vec<&[u8]> {
        let sections = self.btf.data_sections();
        let ids: Vec<u32> =
            sections.flat_map(|section| section.variables().map(|one| one.id)).collect();
        ids.into_iter().filter_map(|id| Some(self.btf.by_id(id)?.name())).collect()
    }

    /// The variable of this name in BTF: its type, and whether each CPU has one.
    pub(super) fn variable_of_btf(&self, name: &str) -> Option<(CType, bool)> {
        let sections = self.btf.data_sections();
        for section in sections {
            let is_per_cpu = section.name() == b".data..percpu";
            let mut all = section.variables().filter_map(|one| self.btf.by_id(one.id));
            if let Some(found) = all.find(|found| found.name() == name.as_bytes()) {
                let id = found.size_or_type;
                let btf = Arc::clone(&self.btf);
                return Some((CType { btf, id, derived: Vec::new(), module: None }, is_per_cpu));
            }
        }
        None
    }

    /// A structure, for the walks of lists and trees.
    pub(super) fn member_nearest(of: &CType, member: &str) -> Vec<String> {
        nearest(member, of.member_names().into_iter())
    }

    /// Symbols with a similar name.
    pub(super) fn symbols_nearest(&self, name: &str) -> Vec<String> {
        let Ok(symbols) = self.kernel.symbols() else { return Vec::new() };
        let all: Vec<String> = symbols.iter().map(|(_, _, name)| name.into_owned()).collect();
        nearest(name, all.iter().map(String::as_bytes))
    }
}

/// `struct node`: the keyword, if there is one, and the name.
fn without_keyword(name: &str) -> (Option<&str>, &str) {
    match name.split_once(char::is_whitespace) {
        Some((word @ ("struct" | "union" | "enum"), bare)) => (Some(word), bare.trim()),
        _ => (None, name),
    }
}

/// A type's name for a message.
pub(super) fn shown(name: &[u8]) -> String {
    text::lossy(name, MAX_NAME)
}

/// `long int` and `long` are one type, and so are `unsigned` and `unsigned int`.
fn number_words(name: &str) -> Vec<&str> {
    const WORDS: [&str; 10] = [
        "unsigned", "signed", "long", "short", "int", "char", "_Bool", "__int128", "float",
        "double",
    ];
    let mut words: Vec<_> = name.split_whitespace().collect();
    if !words.iter().all(|word| WORDS.contains(word)) {
        return Vec::new();
    }
    words.sort_unstable();
    let is_char = words.contains(&"char");
    let is_only = words == ["signed"] || words == ["unsigned"];
    words.retain(|word| match *word {
        "int" => false,
        "signed" => is_char,
        _ => true,
    });
    if words.is_empty() || is_only && words.is_empty() {
        words.push("int");
    }
    words
}

/// `*`, `**`, `*[4]`, `[2][3]`: from the inside out.
fn parse_derived(text: &str) -> Result<Vec<Derived>, String> {
    let mut derived = Vec::new();
    let mut arrays = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if derived.len().saturating_add(arrays.len()) >= MAX_DERIVED {
            return Err(format!("it has more than {MAX_DERIVED} pointers and arrays"));
        }
        rest = match (rest.strip_prefix('*'), rest.strip_prefix('[')) {
            (Some(behind), _) if arrays.is_empty() => {
                derived.push(Derived::Pointer);
                behind
            }
            (_, Some(behind)) => {
                let (count, behind) = behind.split_once(']').ok_or("a ] is missing")?;
                let count = count.trim().parse().map_err(|_| format!("[{count}] has no number"))?;
                arrays.push(Derived::Array(count));
                behind
            }
            _ => return Err(format!("{rest} is not understood")),
        }
        .trim_start();
    }
    // `[2][3]` is two of three.
    derived.extend(arrays.into_iter().rev());
    Ok(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_name_however_they_are_written() {
        for (one, other) in [
            ("long unsigned int", "unsigned long"),
            ("int", "signed"),
            ("unsigned", "unsigned int"),
            ("short int", "signed short"),
        ] {
            assert_eq!(number_words(one), number_words(other), "{one}");
        }
        assert_ne!(number_words("signed char"), number_words("char"));
        assert!(number_words("list_head").is_empty());
    }

    #[test]
    fn pointers_and_arrays_are_derived_from_the_inside_out() {
        use Derived::{Array, Pointer};
        assert_eq!(parse_derived(" * *[4]"), Ok(vec![Pointer, Pointer, Array(4)]));
        assert_eq!(parse_derived("[2][3]"), Ok(vec![Array(3), Array(2)]));
        for bad in ["[x]", "[3", "[3]*", "x", "*********"] {
            assert!(parse_derived(bad).is_err(), "{bad}");
        }
    }
}
