//! Where something is, as it is typed.
//!
//! ```text
//! expression   [TYPE@]BASE[path]        super_block@0xffff888003c0e800.s_root->d_iname
//! BASE         a symbol, or an address in hexadecimal digits
//! path         .member  ->member  [3]   both dots and arrows follow pointers
//! ```
//!
//! An arrow has to be quoted in a shell, a dot has not: so it follows pointers, as gdb's does.

use super::PrintError;

/// The most steps of a path.
const MAX_STEPS: usize = 64;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    /// The type of what is at the base, if it is named.
    pub(super) base_type: Option<String>,
    /// Where it begins.
    pub(super) base: Base,
    /// What is taken of it.
    pub(super) path: Vec<Step>,
}

/// Where an expression begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Symbol(String),
    Address(u64),
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A member, of a structure or of what a pointer leads to.
    Member(String),
    /// An element.
    Index(u64),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Member(name) => write!(f, ".{name}"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Symbol(name) => f.write_str(name),
            Self::Address(at) => write!(f, "{at:#x}"),
        }
    }
}

impl Expression {
    /// What `text` means.
    pub(super) fn parse(text: &str) -> Result<Self, PrintError> {
        let problem = |problem: &str| PrintError::Syntax {
            text: text.to_owned(),
            what: "address or symbol with members behind it",
            problem: problem.to_owned(),
        };
        let (base_type, rest) = match text.split_once('@') {
            Some((base_type, rest)) => (Some(base_type.trim().to_owned()), rest),
            None => (None, text),
        };
        let end = rest.find(['.', '[']).into_iter().chain(rest.find("->")).min();
        // Names of functions have dots: `foo.isra.0`. They are no variables.
        let (base, path) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
        let base = base.trim();
        if base.is_empty() {
            return Err(problem("it begins with no symbol and no address"));
        }
        let base = match address(base) {
            Some(at) => Base::Address(at),
            None if base.starts_with(|first: char| first.is_ascii_digit()) => {
                return Err(problem("an address has up to 16 hexadecimal digits"));
            }
            None => Base::Symbol(base.to_owned()),
        };
        Ok(Self { base_type, base, path: steps(path).map_err(|what| problem(&what))? })
    }
}

/// An address in hexadecimal digits: with `0x`, or those of a kernel's address.
fn address(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let is_plain = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let digits = digits.or(is_plain.then_some(text))?;
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// The steps of a path.
pub(super) fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if steps.len() >= MAX_STEPS {
            return Err(format!("it has more than {MAX_STEPS} members"));
        }
        if let Some(behind) = rest.strip_prefix('[') {
            let (index, behind) = behind.split_once(']').ok_or("a ] is missing")?;
            let number = match index.trim().strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16),
                None => index.trim().parse(),
            };
            steps.push(Step::Index(number.map_err(|_| format!("[{index}] has no number"))?));
            rest = behind;
            continue;
        }
        let behind = rest.strip_prefix("->").or_else(|| rest.strip_prefix('.'));
        let behind = behind.ok_or_else(|| format!("a member begins with a dot, not {rest}"))?;
        let end = behind.find(['.', '[']).into_iter().chain(behind.find("->")).min();
        let split = behind.split_at_checked(end.unwrap_or(behind.len()));
        let (name, behind) = split.unwrap_or((behind, ""));
        if name.is_empty() {
            return Err("a member's name is missing".to_owned());
        }
        steps.push(Step::Member(name.to_owned()));
        rest = behind;
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_arrows_and_brackets_are_steps() {
        let parsed =
            Expression::parse("super_block@0xffff888003c0e800.s_root->d_iname[3]").unwrap();
        assert_eq!(parsed.base_type.as_deref(), Some("super_block"));
        assert_eq!(parsed.base, Base::Address(0xffff_8880_03c0_e800));
        let member = |name: &str| Step::Member(name.to_owned());
        assert_eq!(parsed.path, [member("s_root"), member("d_iname"), Step::Index(3)]);
        let plain = Expression::parse("init_task").unwrap();
        assert_eq!((plain.base, plain.path.len()), (Base::Symbol("init_task".to_owned()), 0));
        let digits = Expression::parse("ffffffff82a1b940").unwrap();
        assert_eq!(digits.base, Base::Address(0xffff_ffff_82a1_b940));
    }

    #[test]
    fn what_is_none_is_an_error_with_the_reason() {
        for (text, part) in [
            ("", "no symbol"),
            (".comm", "no symbol"),
            ("init_task.", "name is missing"),
            ("init_task[x]", "no number"),
            ("init_task[3", "] is missing"),
            ("init_task[3]comm", "begins with a dot"),
            ("0x12345678123456789", "16 hexadecimal"),
        ] {
            let error = Expression::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
