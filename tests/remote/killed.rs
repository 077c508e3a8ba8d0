//! A push that is killed at each of its requests, before the server acts on it and after: nothing
//! half there is listed as whole, and the next push and prune leave one core.

use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::command::{run, vmcorectl};
use crate::fake_bucket::FakeBucket;
use crate::push::{URL, cores, listed, published, push, store};

#[test]
fn a_push_that_is_killed_at_any_request_is_gone_on_with() {
    let counted = FakeBucket::start();
    let own = store(None);
    assert_eq!(push(own.path(), &["latest"], &counted.variables()).code, Some(0));
    let writes = counted.faults.writes.load(Ordering::Relaxed);
    assert!(writes > 8, "{writes}");
    let sample = crate::sample();
    for is_done_before in [false, true] {
        for number in 0..writes {
            let what = format!("killed at write {number}, which is done before: {is_done_before}");
            let bucket = FakeBucket::start();
            let own = store(None);
            bucket.faults.stops_after_it.store(is_done_before, Ordering::Relaxed);
            bucket.faults.stops_at.store(number + 1, Ordering::Relaxed);
            let words = ["push", "latest", "--to", URL, "--store", own.path().to_str().unwrap()];
            let mut command = vmcorectl(&words, &bucket.variables());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while !bucket.faults.is_stopped.load(Ordering::Relaxed) {
                assert!(child.try_wait().unwrap().is_none(), "{what}: it has ended");
                thread::sleep(Duration::from_millis(5));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            bucket.faults.stops_at.store(0, Ordering::Relaxed);
            let state = listed(&bucket.variables());
            match state.as_deref() {
                None | Some("core-not-uploaded") => assert_eq!(published(&bucket), None, "{what}"),
                Some("complete") => assert!(published(&bucket).unwrap() == sample, "{what}"),
                other => panic!("{what}: {other:?}"),
            }
            let answer = push(own.path(), &["latest"], &bucket.variables());
            assert_eq!(answer.code, Some(0), "{what}: {}", answer.stderr);
            assert_eq!(listed(&bucket.variables()).as_deref(), Some("complete"), "{what}");
            assert!(published(&bucket).unwrap() == sample, "{what}");
            let words = ["prune", "--yes", "--unfinished-after", "1d", "--store", URL];
            let pruned = run(&words, &bucket.variables());
            assert_eq!(pruned.code, Some(0), "{what}: {}", pruned.stderr);
            assert_eq!(cores(&bucket), 1, "{what}");
            assert!(bucket.faults.uploads.lock().unwrap().is_empty(), "{what}");
            assert!(published(&bucket).unwrap() == sample, "{what}");
        }
    }
}
