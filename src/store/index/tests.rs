use std::os::unix::fs::PermissionsExt;

use super::*;

fn publish_one(store: &Path) -> Result<(), StoreError> {
    let mut bytes = MAGIC.to_vec();
    codec::put_bytes(&mut bytes, b"web/1");
    codec::put_bytes(&mut bytes, b"record");
    publish(store, &bytes)
}

#[test]
fn an_index_is_its_owners_alone_and_written_by_one_at_a_time() {
    let store = tempfile::tempdir().unwrap();
    let staged = store.path().join(".index.incomplete");
    fs::write(&staged, "of another listing").unwrap();
    assert!(publish_one(store.path()).is_err());
    assert_eq!(fs::read(&staged).unwrap(), b"of another listing");
    // Its writer was killed a while ago.
    let long_ago = SystemTime::now() - 2 * ABANDONED;
    fs::File::options().write(true).open(&staged).unwrap().set_modified(long_ago).unwrap();
    publish_one(store.path()).unwrap();
    let path = store.path().join(INDEX_FILE);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Index::load(store.path()).record(Path::new("s/web/1")), Some(&b"record"[..]));
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 1);
}

#[test]
fn every_beginning_of_an_index_is_none() {
    let store = tempfile::tempdir().unwrap();
    publish_one(store.path()).unwrap();
    let path = store.path().join(INDEX_FILE);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(Index::load(store.path()).len(), 0, "{length}");
    }
    // The same within the frame: with checksum, and cut off.
    let unpacked = zstd::decode_all(whole.as_slice()).unwrap();
    for length in MAGIC.len() + 1..unpacked.len() {
        fs::write(&path, pack(&unpacked[..length]).unwrap()).unwrap();
        assert_eq!(Index::load(store.path()).len(), 0, "{length}");
    }
}

#[test]
fn an_index_that_unpacks_without_end_is_none() {
    let store = tempfile::tempdir().unwrap();
    let bomb = [MAGIC, &vec![0; 80 << 20]].concat();
    fs::write(store.path().join(INDEX_FILE), pack(&bomb).unwrap()).unwrap();
    assert_eq!(Index::load(store.path()).len(), 0);
}
