use std::os::unix::fs::PermissionsExt;
use std::thread;

use super::*;

const LENGTH: u64 = 10 * BLOCK + 77;

fn cache(folder: &Path, kept: u64) -> Cache {
    Cache::at(&folder.join("objects"), "s3://bucket\n".to_owned(), kept).unwrap()
}

fn bytes(range: Range<u64>) -> Vec<u8> {
    range.map(|at| (at / 3 + at / 70_000) as u8).collect()
}

/// Fetches what is missing of a range, and keeps it. Gives what was fetched.
fn get(cache: &Cache, version: &str, range: Range<u64>) -> Range<u64> {
    let found = cache.read(version, LENGTH, range.clone());
    let missing = found.missing.clone();
    let mut all = found.before;
    if !missing.is_empty() {
        let fetched = bytes(missing.clone());
        cache.keep(version, missing.start, &fetched, LENGTH);
        let start = range.start.max(missing.start) - missing.start;
        let end = range.end.min(missing.end) - missing.start;
        all.extend_from_slice(&fetched[start as usize..end as usize]);
    }
    all.extend(found.after);
    assert!(all == bytes(range.clone()), "{range:?}");
    missing
}

#[test]
fn what_was_fetched_is_not_fetched_again_by_another_process_either() {
    let folder = tempfile::tempdir().unwrap();
    let one = cache(folder.path(), KEPT);
    let version = one.version("core", "\"1\"", LENGTH);
    assert_eq!(get(&one, &version, 100..BLOCK + 1), 0..2 * BLOCK);
    assert_eq!(get(&one, &version, 0..2 * BLOCK), 2 * BLOCK..2 * BLOCK);
    assert_eq!(get(&one, &version, 9 * BLOCK + 5..LENGTH), 9 * BLOCK..LENGTH);
    let other = cache(folder.path(), KEPT);
    assert_eq!(get(&other, &version, 7..LENGTH - 7), 2 * BLOCK..9 * BLOCK);
    assert!(get(&other, &version, 0..LENGTH).is_empty());
    // What the first one does not know it fetches: it has read the map before.
    assert_eq!(get(&one, &version, 0..LENGTH), 2 * BLOCK..9 * BLOCK);
    for file in fs::read_dir(folder.path().join("objects")).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let objects = folder.path().join("objects").metadata().unwrap();
    assert_eq!(objects.permissions().mode() & 0o777, 0o700);
}

#[test]
fn other_versions_and_other_objects_are_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), KEPT);
    let version = cache.version("core", "\"1\"", LENGTH);
    get(&cache, &version, 0..LENGTH);
    for (object, etag, length) in
        [("core", "\"2\"", LENGTH), ("core", "\"1\"", LENGTH + 1), ("cores", "\"1\"", LENGTH)]
    {
        let other = cache.version(object, etag, length);
        assert_eq!(cache.read(&other, length, 0..9).missing, 0..BLOCK);
    }
    let elsewhere = Cache::at(&folder.path().join("objects"), "s3://b".to_owned(), KEPT).unwrap();
    assert_ne!(elsewhere.version("core", "\"1\"", LENGTH), version);
}

#[test]
fn what_is_damaged_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let version = cache(folder.path(), KEPT).version("core", "\"1\"", LENGTH);
    get(&cache(folder.path(), KEPT), &version, 0..LENGTH);
    let path = |ending: &str| folder.path().join(format!("objects/{version}.{ending}"));
    let data = File::options().write(true).open(path("bytes")).unwrap();
    data.write_all_at(b"damage", 3 * BLOCK + 9).unwrap();
    assert_eq!(get(&cache(folder.path(), KEPT), &version, 0..LENGTH), 3 * BLOCK..4 * BLOCK);
    assert!(get(&cache(folder.path(), KEPT), &version, 0..LENGTH).is_empty());
    // Bytes that were lost, and zeros in their place.
    data.set_len(5 * BLOCK).unwrap();
    data.set_len(LENGTH).unwrap();
    assert_eq!(get(&cache(folder.path(), KEPT), &version, 0..LENGTH), 5 * BLOCK..LENGTH);
    // A record that was not written to its end.
    let map = File::options().append(true).open(path("map")).unwrap();
    std::io::Write::write_all(&mut &map, b"torn").unwrap();
    assert_eq!(get(&cache(folder.path(), KEPT), &version, 0..LENGTH), 0..LENGTH);
    assert!(get(&cache(folder.path(), KEPT), &version, 0..LENGTH).is_empty());
}

#[test]
fn the_size_is_bounded_and_what_was_not_used_for_longest_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let kept = 40 * BLOCK;
    for number in 0..20 {
        let cache = cache(folder.path(), kept);
        let version = cache.version(&format!("core{number}"), "\"1\"", LENGTH);
        get(&cache, &version, 0..LENGTH);
        let files = fs::read_dir(folder.path().join("objects")).unwrap();
        let size: u64 = files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum();
        assert!(size <= kept, "{size}");
    }
    let cache = cache(folder.path(), kept);
    let version = |number: u32| cache.version(&format!("core{number}"), "\"1\"", LENGTH);
    assert!(get(&cache, &version(19), 0..LENGTH).is_empty());
    assert!(!get(&cache, &version(3), 0..LENGTH).is_empty());
    // More than is kept in all is not written.
    cache.keep(&version(19), 0, &vec![0; kept as usize + 1], u64::MAX);
}

#[test]
fn two_processes_at_once_write_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let version = cache(folder.path(), KEPT).version("core", "\"1\"", LENGTH);
    thread::scope(|scope| {
        for number in 0..8_u64 {
            let (folder, version) = (&folder, &version);
            scope.spawn(move || {
                let cache = cache(folder.path(), KEPT);
                for step in 0..40 {
                    let start = (number * 7 + step * 13) % 10 * BLOCK;
                    get(&cache, version, start + 5..(start + 3 * BLOCK).min(LENGTH));
                }
            });
        }
    });
    assert!(get(&cache(folder.path(), KEPT), &version, 0..LENGTH).is_empty());
}

#[test]
fn a_home_that_does_not_exist_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let variables = |home: &Path| {
        let variables = [("HOME".into(), home.as_os_str().to_owned())];
        Environment::of(variables.into_iter())
    };
    let gone = folder.path().join("gone");
    assert!(Cache::open("s3://bucket", &variables(&gone)).is_none());
    assert!(!gone.exists());
    assert!(Cache::open("s3://bucket", &variables(folder.path())).is_some());
    assert!(folder.path().join(".cache/vmcorectl/objects").is_dir());
}

#[test]
fn links_are_not_followed_and_no_directory_that_others_may_write_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), KEPT);
    let version = cache.version("core", "\"1\"", LENGTH);
    let target = folder.path().join("target");
    fs::write(&target, "mine").unwrap();
    let link = folder.path().join(format!("objects/{version}.bytes"));
    std::os::unix::fs::symlink(&target, link).unwrap();
    assert_eq!(get(&cache, &version, 0..LENGTH), 0..LENGTH);
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(Cache::at(&open, String::new(), KEPT).is_none());
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("objects"), &link).unwrap();
    assert!(Cache::at(&link, String::new(), KEPT).is_none());
}
