//! The paths that a source file names, without a parser for all of Rust.
//!
//! Needs: the text of a file. Gives: its `use` trees, one path each, the paths in its
//! code, and the modules that it declares. Comments, literals and what is compiled for
//! tests alone are left out. What macros make is not seen.

use std::iter::Peekable;
use std::str::Chars;

/// What a file has.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) paths: Vec<Named>,
    /// `mod name;`
    pub(crate) modules: Vec<String>,
    /// `#[cfg(test)] mod name;`
    pub(crate) test_modules: Vec<String>,
}

/// A path, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The modules of this file around it.
    pub(crate) within: Vec<String>,
    pub(crate) segments: Vec<String>,
    /// The name that a `use` gives it.
    pub(crate) imported_as: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSeparator,
    Mark(char),
}

/// Scans the text of a file.
pub(crate) fn scan(text: &str) -> Scanned {
    let mut scanner = Scanner {
        tokens: tokens(text),
        at: 0,
        depth: 0,
        within: Vec::new(),
        out: Scanned::default(),
    };
    while scanner.at < scanner.tokens.len() {
        scanner.step();
    }
    scanner.out
}

struct Scanner {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Modules with a body here, and the depth of their braces.
    within: Vec<(String, usize)>,
    out: Scanned,
}

impl Scanner {
    fn step(&mut self) {
        if self.is_word(0, "use") {
            self.at += 1;
            self.use_tree(Vec::new());
        } else if self.is_word(0, "mod") && self.word(1).is_some() {
            self.module();
        } else if self.is_mark(0, '#') && self.is_mark(1, '[') {
            self.attribute();
        } else if self.word(0).is_some() && self.token(1) == Some(&Token::PathSeparator) {
            self.path();
        } else {
            match self.token(0) {
                Some(Token::Mark('{')) => self.depth += 1,
                Some(Token::Mark('}')) => {
                    self.depth -= 1;
                    self.within.pop_if(|(_, depth)| *depth == self.depth);
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn module(&mut self) {
        let name = self.word(1).expect("a name").to_owned();
        if self.is_mark(2, ';') {
            self.out.modules.push(name);
        } else if self.is_mark(2, '{') {
            self.within.push((name, self.depth));
        }
        self.at += 2;
    }

    /// `#[cfg(test)]` takes what follows with it.
    fn attribute(&mut self) {
        let start = self.at + 2;
        self.at += 1;
        self.skip_group();
        let inside = &self.tokens[start..self.at];
        let has = |word: &str| inside.contains(&Token::Word(word.to_owned()));
        if inside.first() == Some(&Token::Word("cfg".to_owned())) && has("test") && !has("not") {
            self.skip_item();
        }
    }

    fn skip_item(&mut self) {
        while self.is_mark(0, '#') {
            self.at += 1;
            self.skip_group();
        }
        let start = self.at;
        let mut imports = false;
        while let Some(token) = self.token(0).cloned() {
            match token {
                Token::Mark(';') => {
                    self.at += 1;
                    break;
                }
                Token::Mark('{') => {
                    self.skip_group();
                    if !imports {
                        break;
                    }
                }
                Token::Mark('(' | '[') => self.skip_group(),
                token => {
                    imports |= token == Token::Word("use".to_owned());
                    self.at += 1;
                }
            }
        }
        let item = &self.tokens[start..self.at];
        if let Some(at) = item.iter().position(|token| *token == Token::Word("mod".to_owned()))
            && let Some(Token::Word(name)) = item.get(at + 1)
        {
            self.out.test_modules.push(name.clone());
        }
    }

    /// Goes behind the bracket that closes the one here.
    fn skip_group(&mut self) {
        let mut open = 0;
        while let Some(token) = self.token(0) {
            match token {
                Token::Mark('(' | '[' | '{') => open += 1,
                Token::Mark(')' | ']' | '}') => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }

    /// One tree of a `use`, up to the comma, brace or semicolon behind it.
    fn use_tree(&mut self, mut segments: Vec<String>) {
        loop {
            match self.token(0).cloned() {
                Some(Token::Word(word)) if word == "as" => {
                    let name = self.word(1).expect("a name").to_owned();
                    self.at += 2;
                    return self.add(segments, Some(name));
                }
                Some(Token::Word(word)) => segments.push(word),
                Some(Token::Mark('*')) => {
                    self.at += 1;
                    return self.add(segments, Some("*".to_owned()));
                }
                Some(Token::Mark('{')) => {
                    self.at += 1;
                    while !self.is_mark(0, '}') {
                        self.use_tree(segments.clone());
                        if self.is_mark(0, ',') {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                Some(Token::PathSeparator) => {}
                _ => {
                    // `use module::{self}` gives the module.
                    if segments.len() > 1 {
                        segments.pop_if(|last| last == "self");
                    }
                    let name = segments.last().cloned();
                    return self.add(segments, name);
                }
            }
            self.at += 1;
        }
    }

    fn path(&mut self) {
        let mut segments = Vec::new();
        while let Some(word) = self.word(0) {
            segments.push(word.to_owned());
            self.at += 1;
            if self.token(0) != Some(&Token::PathSeparator) {
                break;
            }
            self.at += 1;
        }
        self.add(segments, None);
    }

    fn add(&mut self, segments: Vec<String>, imported_as: Option<String>) {
        let within = self.within.iter().map(|(name, _)| name.clone()).collect();
        self.out.paths.push(Named { within, segments, imported_as });
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.token(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        self.word(ahead) == Some(word)
    }

    fn is_mark(&self, ahead: usize, mark: char) -> bool {
        self.token(ahead) == Some(&Token::Mark(mark))
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            '/' if rest.peek() == Some(&'/') => {
                while rest.next_if(|next| *next != '\n').is_some() {}
            }
            '/' if rest.peek() == Some(&'*') => skip_comment(&mut rest),
            '"' => skip_string(&mut rest),
            '\'' => skip_quote(&mut rest),
            ':' if rest.next_if_eq(&':').is_some() => tokens.push(Token::PathSeparator),
            word if word.is_alphanumeric() || word == '_' => {
                let mut word = String::from(word);
                while let Some(next) = rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                if matches!(word.as_str(), "r" | "br" | "cr")
                    && matches!(rest.peek(), Some('#' | '"'))
                {
                    skip_raw_string(&mut rest);
                } else {
                    tokens.push(Token::Word(word));
                }
            }
            space if space.is_whitespace() => {}
            mark => tokens.push(Token::Mark(mark)),
        }
    }
    tokens
}

fn skip_comment(rest: &mut Peekable<Chars<'_>>) {
    let mut open = 1;
    rest.next();
    while let Some(next) = rest.next() {
        match (next, rest.peek()) {
            ('/', Some('*')) => open += 1,
            ('*', Some('/')) => open -= 1,
            _ => continue,
        }
        rest.next();
        if open == 0 {
            return;
        }
    }
}

fn skip_string(rest: &mut Peekable<Chars<'_>>) {
    while let Some(next) = rest.next() {
        match next {
            '\\' => drop(rest.next()),
            '"' => return,
            _ => {}
        }
    }
}

/// A literal of one character, or a lifetime.
fn skip_quote(rest: &mut Peekable<Chars<'_>>) {
    let first = rest.next();
    if first == Some('\\') {
        rest.next();
        while rest.next().is_some_and(|next| next != '\'') {}
    } else {
        rest.next_if_eq(&'\'');
    }
}

fn skip_raw_string(rest: &mut Peekable<Chars<'_>>) {
    let mut hashes = 0;
    while rest.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    // `r#name` is a name.
    if rest.next_if_eq(&'"').is_none() {
        return;
    }
    while let Some(next) = rest.next() {
        if next == '"' && (0..hashes).all(|_| rest.next_if_eq(&'#').is_some()) {
            return;
        }
    }
}
