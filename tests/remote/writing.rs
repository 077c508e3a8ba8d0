//! What is written to a bucket: created once, replaced, removed, and sent in parts by several
//! processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::thread;

use vmcorectl::remote::address::{Address, RemoteAddress};
use vmcorectl::remote::fetch::{Environment, serve};
use vmcorectl::remote::writing::Put;
use vmcorectl::remote::{Channel, RemoteError};

use crate::fake_bucket::FakeBucket;
use crate::seaweedfs::SeaweedFs;

fn address(text: &str) -> RemoteAddress {
    match Address::parse(text) {
        Some(Address::Remote(address)) => address,
        other => panic!("{other:?}"),
    }
}

/// A channel to a fetcher that is a thread.
fn channel(root: &str, variables: &[(&str, &str)], writes: bool) -> Result<Channel, RemoteError> {
    let variables: Vec<(OsString, OsString)> =
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || serve(theirs, &Environment::of(variables.into_iter())));
    let open = if writes { Channel::open_to_write } else { Channel::open };
    open(ours, address(root))
}

#[test]
fn objects_are_created_once_and_uploads_are_gone_on_with() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let open = || channel("s3://fleet/cores", &server.variables(), true).unwrap();
    let own = open();
    assert_eq!(own.put_new("web/1/core.json", b"one").unwrap(), Put::Created);
    assert_eq!(own.put_new("web/1/core.json", b"two").unwrap(), Put::Exists);
    assert_eq!(open().put_new("web/1/core.json", b"two").unwrap(), Put::Exists);
    assert!(!own.ignores_conditions());
    assert_eq!(own.get("web/1/core.json", 100).unwrap(), b"one");
    own.put("web/1/core.json", b"three").unwrap();
    own.put("web/10/core.json", b"ten").unwrap();
    assert_eq!(own.end("web/1/core.json", 2).unwrap(), (5, b"ee".to_vec()));
    assert_eq!(own.list_below("web/1").unwrap(), [("web/1/core.json".to_owned(), 5)]);
    assert!(own.list_below("").unwrap().iter().any(|(name, _)| name == "web/10/core.json"));
    own.delete("web/1/core.json").unwrap();
    own.delete("web/1/core.json").unwrap();
    assert!(matches!(own.get("web/1/core.json", 100), Err(RemoteError::NotFound { .. })));

    // Of many at the same time, one wins.
    let created = thread::scope(|scope| {
        let put = |number: u8| open().put_new("web/1/race.json", &[number]).unwrap();
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || put(number))).collect();
        let put = threads.into_iter().map(|thread| thread.join().unwrap());
        put.filter(|put| *put == Put::Created).count()
    });
    assert_eq!(created, 1);

    // The second part is sent by another process, which has the ids alone.
    let parts = [vec![1; 5 << 20], vec![2; 100]];
    let send = |channel: &Channel, upload: &str, number: usize| {
        let part = &parts[number];
        let length = part.len() as u64;
        let sent = channel.send_part("web/1/core", upload, number, length, &mut part.as_slice());
        channel.finish_part("web/1/core", &sent.unwrap()).unwrap()
    };
    let upload = own.begin_upload("web/1/core").unwrap();
    let first = send(&own, &upload, 0);
    drop(own);
    let other = open();
    let ids = [first, send(&other, &upload, 1)];
    other.finish_upload("web/1/core", &upload, &ids).unwrap();
    let length = parts.concat().len() as u64;
    assert_eq!(other.end("web/1/core", 2).unwrap(), (length, vec![2, 2]));
    let gone = other.finish_part(
        "web/1/core",
        &other.send_part("web/1/core", "no-such-upload", 0, 1, &mut &b"x"[..]).unwrap(),
    );
    assert!(matches!(gone, Err(RemoteError::NotFound { .. })), "{gone:?}");
}

/// What parses memory may not write, whatever it asks for.
#[test]
fn a_channel_that_reads_does_not_write() {
    let bucket = FakeBucket::start();
    let reads = channel("s3://fleet/cores", &bucket.variables(), false).unwrap();
    assert!(matches!(reads.put_new("a", b""), Err(RemoteError::Write { .. })));
    assert!(matches!(reads.delete("a"), Err(RemoteError::Write { .. })));
    assert!(matches!(reads.begin_upload("a"), Err(RemoteError::Write { .. })));
    assert_eq!(bucket.server.request_count(), 0);
    // Bytes of a question are none that it has.
    assert!(matches!(reads.put("a", b"a"), Err(RemoteError::Ended)));
    assert_eq!(bucket.server.request_count(), 0);
    let http = channel(&bucket.server.url("a"), &[], true);
    assert!(matches!(http, Err(RemoteError::Failed { .. })), "{http:?}");
}

#[test]
fn a_server_that_ignores_conditions_is_noticed_and_nothing_is_overwritten() {
    for ignores in [false, true] {
        let bucket = FakeBucket::start();
        bucket.faults.ignores_conditions.store(ignores, Ordering::Relaxed);
        let own = channel("s3://fleet/cores", &bucket.variables(), true).unwrap();
        assert_eq!(own.put_new("a", b"one").unwrap(), Put::Created);
        assert_eq!(own.put_new("a", b"two").unwrap(), Put::Exists);
        assert_eq!(own.ignores_conditions(), ignores);
        assert_eq!(bucket.object("fleet/cores/a").unwrap(), b"one");
        bucket.put("fleet/cores/b", b"of another tool");
        assert_eq!(own.put_new("b", b"own").unwrap(), Put::Exists);
        let mut keys = bucket.keys();
        keys.retain(|key| !key.ends_with("-conditions"));
        assert_eq!(keys, ["fleet/cores/a", "fleet/cores/b"]);
        let requests = bucket.server.requests.lock().unwrap();
        let mut probes: BTreeMap<String, usize> = BTreeMap::new();
        for request in requests.iter().filter(|request| request.path.ends_with("-conditions")) {
            *probes.entry(request.method.clone()).or_default() += 1;
        }
        assert_eq!(probes.into_iter().collect::<Vec<_>>(), [("PUT".to_owned(), 2)]);
    }
}
