//! A list of names that begin alike, page by page, and its division.
//!
//! ```text
//! guests                 by their first letters: those that a page has begun with are known
//! entries of one guest   by time: names begin with it
//! ```
//!
//! A list by first letters needs no order of the server. One by time begins after a name that does
//! not exist, and ends at the first name behind another such one. These are digits and `T` alone,
//! which come after the slash: so servers that sort directories first (`SeaweedFS`), and those that
//! sort whole names, have the same names before and behind.

use std::collections::BTreeSet;

use super::split;
use super::{Each, Pages};
use crate::remote::RemoteError;
use crate::remote::dated::DatedObject;
use crate::remote::wire::{Page, PageOf};

/// So many pages of a list of several directories are more than was expected.
const MANY: usize = 2;
/// So many pages are expected of such a list.
const EXPECTED: usize = 8;

/// A list.
#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    /// The directory whose names are divided, with its slash; empty for the root.
    below: String,
    /// What all names begin with: `below`, and perhaps more.
    prefix: String,
    /// Names in `below` before this one are not of it; nor are those from `until` on.
    from: String,
    until: Option<String>,
    /// After which name the first page begins.
    after: Option<String>,
    token: Option<String>,
    /// Whether it has the objects that are in `below` and in no directory there.
    has_files: bool,
    /// The directory in `below`, with its slash, that is left out.
    without: Option<&'static str>,
    /// The directories and objects in `below` that its pages had, but for the last one.
    seen: BTreeSet<String>,
    last: String,
    /// How many pages it had.
    pages: usize,
    /// Whether it cannot be divided.
    is_whole: bool,
}

/// The directories and objects in a directory.
#[derive(Debug, Default)]
pub(super) struct Folders {
    /// With their slash.
    pub(super) folders: Vec<String>,
    files: Vec<DatedObject>,
}

impl Task {
    /// The list of all names that begin so, but for those in one directory.
    pub(super) fn new(prefix: String, without: Option<&'static str>) -> Self {
        let below = prefix.rfind('/').and_then(|slash| prefix.get(..=slash));
        let below = below.unwrap_or_default().to_owned();
        Self { below, prefix, has_files: true, without, ..Self::default() }
    }

    /// The same, without names that are in order before that of this time.
    pub(super) fn since(self, time: split::Time) -> Self {
        let from = split::name(time);
        let after = Some([self.below.as_str(), from.as_str()].concat());
        Self { from, after, ..self }
    }

    /// Gives the objects of the next page, and what is left: one list or, if there may be `free` more
    /// at the same time, several.
    pub(super) fn step(
        mut self,
        pages: &impl Pages,
        each: Each<'_>,
        free: usize,
    ) -> Result<Vec<Self>, RemoteError> {
        let page = pages.page(PageOf {
            prefix: self.prefix.clone(),
            after: self.after.clone(),
            token: self.token.clone(),
            folders: false,
        })?;
        let (begins_anywhere, token) = (page.begins_anywhere, page.token.clone());
        let first = page.objects.first().map(|object| self.name(&object.name).to_owned());
        let last = page.objects.last().map(|object| object.name.clone());
        let is_over = self.give(page, each);
        let Some(token) = token.filter(|_| !is_over) else { return Ok(Vec::new()) };
        if self.token.as_ref() == Some(&token) {
            return Err(pages.wrong(&self.prefix, "the server repeats a page of its list"));
        }
        (self.token, self.pages) = (Some(token), self.pages.saturating_add(1));
        if free == 0 || self.is_whole || !begins_anywhere {
            return Ok(vec![self]);
        }
        let last = last.unwrap_or_default();
        let times =
            split::time(first.as_deref().unwrap_or_default()).zip(split::time(self.name(&last)));
        match times {
            Some((first, last)) => Ok(self.by_time(first, last, free)),
            None if self.from.is_empty() && self.until.is_none() => {
                self.by_letters(pages, each, &last)
            }
            None => Ok(vec![self]),
        }
    }

    /// Gives what a page has of this list. Says whether the list is over.
    fn give(&mut self, page: Page, each: Each<'_>) -> bool {
        for object in page.objects {
            // Some servers know less of lists than they are asked for.
            if !object.name.starts_with(&self.prefix) {
                continue;
            }
            let name = self.name(&object.name);
            let is_file = self.below.len().saturating_add(name.len()) == object.name.len();
            if self.until.as_deref().is_some_and(|until| name >= until) {
                return true;
            }
            if name < self.from.as_str() {
                continue;
            }
            if self.until.is_none() && self.from.is_empty() {
                let name = if is_file { name.to_owned() } else { format!("{name}/") };
                if name != self.last {
                    self.seen.insert(std::mem::replace(&mut self.last, name));
                }
            }
            let is_out = !is_file && self.is_out(name);
            if !is_out && (!is_file || self.has_files) {
                each(object);
            }
        }
        false
    }

    fn is_out(&self, name: &str) -> bool {
        self.without.is_some_and(|out| out.strip_suffix('/') == Some(name))
    }

    /// The name in `below` that a whole name is in.
    fn name<'a>(&self, name: &'a str) -> &'a str {
        let rest = name.strip_prefix(&self.below).unwrap_or_default();
        rest.split_once('/').map_or(rest, |(name, _)| name)
    }

    /// Divides what is left by time, if the names in it begin with times.
    fn by_time(mut self, first: split::Time, last: split::Time, free: usize) -> Vec<Self> {
        let end = self.until.as_deref().and_then(split::time);
        let starts = split::times(first, last, end, free);
        let mut until = self.until.clone();
        let mut parts = Vec::new();
        for start in starts.into_iter().rev() {
            parts.push(Self {
                below: self.below.clone(),
                prefix: self.prefix.clone(),
                after: Some([&self.below, start.as_str()].concat()),
                from: start.clone(),
                until: until.replace(start),
                has_files: self.has_files,
                without: self.without,
                ..Self::default()
            });
        }
        self.until = until;
        parts.push(self);
        parts
    }

    /// Divides what is left by the directories that it is in. `last` is the last name that a page had.
    fn by_letters(
        mut self,
        pages: &impl Pages,
        each: Each<'_>,
        last: &str,
    ) -> Result<Vec<Self>, RemoteError> {
        if self.prefix != self.below && self.pages < MANY {
            return Ok(vec![self]);
        }
        let listed = self.folders(pages)?;
        let is_deep = |object: &DatedObject| {
            object.name.get(self.below.len()..).is_some_and(|rest| rest.contains('/'))
        };
        if listed.files.iter().any(is_deep) {
            // The server does not put names together.
            return Ok(vec![Self { is_whole: true, ..self }]);
        }
        let is_open = self.last.ends_with('/');
        if !is_open {
            self.seen.insert(std::mem::take(&mut self.last));
        }
        let is_new = |name: &str| name != self.last && !self.seen.contains(name);
        let shallow =
            |object: &DatedObject| object.name.strip_prefix(&self.below).is_some_and(is_new);
        if self.has_files {
            listed.files.into_iter().filter(|object| shallow(object)).for_each(each);
        }
        let names = listed.folders.iter().filter_map(|name| name.strip_prefix(&self.below));
        let is_wanted = |name| is_new(name) && self.without != Some(name);
        let names: Vec<(&str, bool)> = names.map(|name| (name, is_wanted(name))).collect();
        let at_once = self.seen.len().div_ceil(self.pages.max(1)).saturating_mul(EXPECTED);
        let known = self.prefix.len().saturating_sub(self.below.len());
        let mut parts: Vec<Self> = split::letters(&names, known, at_once)
            .into_iter()
            .map(|start| {
                let prefix = [self.below.as_str(), start].concat();
                let below = if start.ends_with('/') { &prefix } else { &self.below };
                let has_files = start.ends_with('/');
                Self { below: below.clone(), prefix, has_files, ..Self::default() }
            })
            .collect();
        if is_open && self.without != Some(&*self.last) {
            let below = [self.below.as_str(), &self.last].concat();
            let from = last.strip_prefix(&below).unwrap_or_default();
            let from = from.split_once('/').map_or(from, |(name, _)| name).to_owned();
            let after = Some(last.to_owned());
            let prefix = below.clone();
            parts.push(Self { below, prefix, from, after, has_files: true, ..Self::default() });
        }
        Ok(parts)
    }

    /// The directories and objects in `below` that begin as this list does.
    pub(super) fn folders(&self, pages: &impl Pages) -> Result<Folders, RemoteError> {
        let mut found = Folders::default();
        let mut token = None;
        loop {
            let prefix = self.prefix.clone();
            let page =
                pages.page(PageOf { prefix, after: None, token: token.clone(), folders: true })?;
            found.folders.extend(page.folders);
            found.files.extend(page.objects);
            if page.token.is_none() {
                break;
            }
            if page.token == token {
                return Err(pages.wrong(&self.prefix, "the server repeats a page of its list"));
            }
            token = page.token;
        }
        found.folders.sort_unstable();
        found.folders.dedup();
        Ok(found)
    }
}
