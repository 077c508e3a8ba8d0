//! Entries that are brought from a bucket: whole and verified, or not at all.

use std::fs;
use std::path::Path;

use crate::command::{Answer, run};
use crate::fake_bucket::FakeBucket;
use crate::push::{ENTRY, URL, core, push, store, text};
use crate::seaweedfs::SeaweedFs;

pub(crate) fn pull(to: &Path, words: &[&str], variables: &[(&str, &str)]) -> Answer {
    run(&[&["pull", "--store", to.to_str().unwrap()], words].concat(), variables)
}

pub(crate) fn files(store: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(found) = fs::read_dir(store.join(ENTRY)) else { return Vec::new() };
    let mut files: Vec<_> = found
        .map(|file| {
            let path = file.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn an_entry_that_was_pushed_comes_back_as_it_was() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let own = store(None);
    fs::remove_file(own.path().join(ENTRY).join("triage.zst")).unwrap();
    assert_eq!(push(own.path(), &["--all"], &server.variables()).code, Some(0));
    let address = format!("{URL}/{ENTRY}");
    let to = tempfile::tempdir().unwrap();
    let small = pull(to.path(), &[&address, "--without-core"], &server.variables());
    assert!(text(&small).contains("brought, without its core"), "{}", text(&small));
    let store = to.path().to_str().unwrap();
    let info = run(&["info", "latest", "--store", store], &[]);
    assert_eq!(info.code, Some(0), "{}", info.stderr);
    let dmesg = run(&["dmesg", "latest", "--store", store], &[]);
    assert!(dmesg.stderr.contains(&format!("it is in {address}")), "{}", dmesg.stderr);
    let whole = pull(to.path(), &["latest", "--from", URL], &server.variables());
    assert!(text(&whole).contains("brought, with its core of"), "{}", text(&whole));
    assert!(files(to.path()) == files(own.path()), "the files differ");
    let again = pull(to.path(), &[&address], &server.variables());
    assert!(text(&again).contains("is here already"), "{}", text(&again));
    let fresh = tempfile::tempdir().unwrap();
    assert_eq!(pull(fresh.path(), &["aaaa", "--from", URL], &server.variables()).code, Some(0));
    assert!(files(fresh.path()) == files(own.path()), "the files differ");
}

#[test]
fn what_is_not_what_it_should_be_is_not_published() {
    let bucket = FakeBucket::start();
    let own = store(Some(&core(20 << 20)));
    assert_eq!(push(own.path(), &["--all"], &bucket.variables()).code, Some(0));
    let key = bucket.keys().into_iter().find(|key| key.contains("/core-")).unwrap();
    let mut damaged = bucket.object(&key).unwrap();
    damaged[10 << 20] ^= 1;
    bucket.put(&key, &damaged);
    let to = tempfile::tempdir().unwrap();
    let answer = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("its SHA-256 is not that of its record"), "{}", answer.stderr);
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    // The same of a core that other tools have copied: by the hash in its metadata.
    let folder = key.rsplit_once('/').unwrap().0;
    let sample = crate::sample();
    for (core, code) in [(&sample[..sample.len() - 100_000], 1), (&sample[..], 0)] {
        bucket.put(&format!("{folder}/vmcore.elf.zst"), core);
        bucket.remove(&format!("{folder}/core.json"));
        let answer = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
        assert_eq!(answer.code, Some(code), "{}", answer.stderr);
        assert_eq!(files(to.path()).is_empty(), code == 1);
    }
}
