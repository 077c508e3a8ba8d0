//! A server of which nothing but its lists is there.

use std::cmp::Ordering as Order;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// What it has, and how it lists that.
#[derive(Default)]
struct Server {
    keys: Mutex<Vec<String>>,
    /// How many keys a page has.
    page: usize,
    /// Whether directories are sorted by their names, as those of a file system.
    by_folders: bool,
    /// Whether it lists from the first key on, whatever it is asked for.
    ignores_after: bool,
    /// What is done after each page.
    between: Option<fn(&mut Vec<String>, usize)>,
    pages: AtomicUsize,
    at_once: Mutex<(usize, usize)>,
}

impl Server {
    fn new(keys: impl IntoIterator<Item = String>, page: usize, by_folders: bool) -> Self {
        let keys = Mutex::new(keys.into_iter().collect());
        let server = Self { keys, page, by_folders, ..Self::default() };
        server.sort(&mut server.keys.lock().unwrap());
        server
    }

    fn sort(&self, keys: &mut Vec<String>) {
        keys.sort_by(|one, other| self.order(one, other));
        keys.dedup();
    }

    fn order(&self, one: &str, other: &str) -> Order {
        match self.by_folders {
            true => one.split('/').cmp(other.split('/')),
            false => one.cmp(other),
        }
    }

    fn names(&self, prefix: &str) -> BTreeMap<String, usize> {
        let found = Mutex::new(BTreeMap::new());
        let mut each =
            |object: DatedObject| *found.lock().unwrap().entry(object.name).or_default() += 1;
        let task = Task::new(prefix.to_owned(), None);
        walk(self, VecDeque::from([task]), &mut each).unwrap();
        found.into_inner().unwrap()
    }

    fn counted(&self) -> usize {
        self.pages.swap(0, Ordering::Relaxed)
    }
}

impl Pages for Server {
    fn page(&self, of: PageOf) -> Result<Page, RemoteError> {
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        let number = self.pages.fetch_add(1, Ordering::Relaxed);
        let mut keys = self.keys.lock().unwrap();
        let after = of.token.clone().or_else(|| of.after.filter(|_| !self.ignores_after));
        let mut page = Page { begins_anywhere: true, ..Page::default() };
        let mut last = None;
        let from = |text: &str| keys.partition_point(|key| self.order(key, text) == Order::Less);
        let start = after.as_deref().map_or(0, from).max(from(&of.prefix));
        for key in keys.iter().skip(start).take_while(|key| key.starts_with(&of.prefix)) {
            let rest = &key[of.prefix.len()..];
            let folder = rest.find('/').filter(|_| of.folders);
            let listed = folder.map_or(key.as_str(), |at| &key[..of.prefix.len() + at + 1]);
            let is_before = |after: &String| match of.folders {
                true => key.starts_with(after) || self.order(key, after) != Order::Greater,
                false => self.order(key, after) != Order::Greater,
            };
            if after.as_ref().is_some_and(is_before) || last.as_deref() == Some(listed) {
                continue;
            }
            if page.objects.len() + page.folders.len() == self.page {
                page.token = last;
                break;
            }
            last = Some(listed.to_owned());
            match folder {
                Some(_) => page.folders.push(listed.to_owned()),
                None => page.objects.push(DatedObject { name: key.clone(), bytes: 1, age: 1 }),
            }
        }
        if let Some(between) = self.between {
            between(&mut keys, number);
            self.sort(&mut keys);
        }
        drop(keys);
        thread::yield_now();
        self.at_once.lock().unwrap().0 -= 1;
        Ok(page)
    }

    fn wrong(&self, name: &str, problem: &str) -> RemoteError {
        RemoteError::Failed { address: name.to_owned(), problem: problem.to_owned() }
    }
}

const FILES: [&str; 5] = ["core-0.zst", "core.json", "metadata.json", "report.json", "triage.zst"];

fn entry(guest: &str, number: usize) -> String {
    let (month, day, second) = (number / 2000 % 12 + 1, number / 80 % 25 + 1, number % 80);
    format!("{guest}/2026{month:02}{day:02}T0001{second:02}Z-{number:08x}")
}

/// Guests of so many entries, whose names begin with each other and have what comes before a slash.
fn bucket(guests: usize, entries: usize) -> Vec<String> {
    let mut keys = Vec::new();
    for guest in 0..guests {
        let name = match guest % 4 {
            0 => format!("web{guest:04}"),
            1 => format!("web{:04}-1", guest - 1),
            2 => format!("guest-{guest:05}"),
            _ => format!("g%20{guest}.x"),
        };
        for number in 0..entries {
            let entry = entry(&name, number);
            keys.extend(FILES.iter().map(|file| format!("{entry}/{file}")));
        }
    }
    keys
}

fn once(keys: &[String]) -> BTreeMap<String, usize> {
    keys.iter().map(|key| (key.clone(), 1)).collect()
}

#[test]
fn each_name_is_given_once_whatever_the_shape_and_the_order() {
    let odd =
        ["a", "web", "z", "web/x", "web/20260101T000000Z-a", "web/2026", "web-1/20/x", "w/a/b/c/d"];
    for (guests, entries) in [(0, 0), (1, 1), (1, 900), (3, 200), (20, 20), (200, 2)] {
        for by_folders in [false, true] {
            for page in [7, 40] {
                let mut keys = bucket(guests, entries);
                keys.extend(odd.map(str::to_owned));
                let server = Server::new(keys.clone(), page, by_folders);
                let found = server.names("");
                assert!(found == once(&keys), "{guests} {entries} {by_folders} {page}");
                let web: Vec<_> =
                    keys.iter().filter(|key| key.starts_with("web0000/2")).cloned().collect();
                assert!(server.names("web0000/2") == once(&web), "{guests} {entries}");
            }
        }
    }
}

#[test]
fn a_list_takes_few_more_pages_side_by_side_than_one_after_the_other() {
    for (guests, entries) in [(1, 4000), (800, 5), (10, 400), (60, 70)] {
        let keys = bucket(guests, entries);
        let all = keys.len() / 20;
        let server = Server::new(keys, 20, false);
        server.names("");
        let pages = server.counted();
        assert!(pages < all * 3 / 2 + 100, "{guests} {entries}: {pages} of {all}");
        assert!(server.at_once.lock().unwrap().1 <= AT_ONCE);
    }
    // A small bucket is one request, as it is without all of this.
    let server = Server::new(bucket(2, 10), 100, false);
    server.names("");
    assert_eq!(server.counted(), 1);
}

#[test]
fn what_is_there_all_the_time_is_given_whatever_comes_and_goes() {
    fn between(keys: &mut Vec<String>, number: usize) {
        keys.retain(|key| !key.contains("/gone-"));
        keys.push(format!("aaa{number}/20260101T000000Z-new/new-1"));
        keys.push(format!("web0000/20260{}01T000000Z-new{number}/new-1", number % 9 + 1));
        keys.push(format!("zzz/2026120{}T000000Z-new/new-1", number % 9));
    }
    for (guests, entries) in [(1, 400), (80, 5)] {
        for by_folders in [false, true] {
            let stays = bucket(guests, entries);
            let gone = stays.iter().step_by(50).map(|key| key.replace("/core-0", "/gone-0"));
            let mut server = Server::new(stays.iter().cloned().chain(gone), 20, by_folders);
            server.between = Some(between);
            let mut found = server.names("");
            found.retain(|name, _| !name.contains("/new-") && !name.contains("/gone-"));
            assert!(found == once(&stays), "{guests} {by_folders}");
        }
    }
}

#[test]
fn a_server_that_knows_less_than_it_is_asked_for_is_listed_too() {
    let keys = bucket(2, 100);
    let server = Server { ignores_after: true, ..Server::new(keys.clone(), 20, false) };
    let found = server.names("");
    assert!(found.keys().eq(once(&keys).keys()));
}

#[test]
fn a_server_that_repeats_a_page_is_an_error() {
    struct Stuck;
    impl Pages for Stuck {
        fn page(&self, _: PageOf) -> Result<Page, RemoteError> {
            let token = Some("again".to_owned());
            Ok(Page { token, begins_anywhere: true, ..Page::default() })
        }
        fn wrong(&self, _: &str, problem: &str) -> RemoteError {
            RemoteError::Failed { address: String::new(), problem: problem.to_owned() }
        }
    }
    let task = Task::new(String::new(), None);
    let error = walk(&Stuck, VecDeque::from([task]), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("repeats a page"), "{error}");
}
