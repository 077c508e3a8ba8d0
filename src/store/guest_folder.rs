//! The directory of a guest, named so that no name can leave the store.
//!
//! Guest names are untrusted: the command line of QEMU has them. Letters, digits
//! and `._-` stay; every other byte, and a dot at the start, becomes `%XX`. A
//! guest without a name is `unnamed`.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The longest directory name that is used, in bytes.
const MAX_NAME: usize = 128;
/// The directory that no guest has, and that of the guest of this name.
const TABLE: &str = "index";
const TABLE_GUEST: &str = "%69ndex";
/// How much of a longer name is kept in front of its hash.
const KEPT: usize = MAX_NAME - 17;

/// The directory name for a guest.
///
/// Gives one name for each guest name: what is too long is cut, with a hash of
/// the whole name behind it.
pub fn folder_name(guest: Option<&str>) -> String {
    let Some(guest) = guest.filter(|name| !name.is_empty()) else {
        return "unnamed".to_owned();
    };
    let mut name = String::with_capacity(guest.len());
    for (index, byte) in guest.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && index > 0);
        if plain {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
    // The table of a store's crashes is there (`index/`).
    if name == TABLE {
        name = TABLE_GUEST.to_owned();
    }
    // What is unpublished ends so; a guest may not end so by its name.
    if name.ends_with(super::INCOMPLETE) {
        name.truncate(name.len().saturating_sub(super::INCOMPLETE.len()));
        name.push_str("%2Eincomplete");
    }
    if name.len() > MAX_NAME {
        name.truncate(KEPT);
        name.push('~');
        for byte in Sha256::digest(guest.as_bytes()).iter().take(8) {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::{MAX_NAME, folder_name};

    /// A guest of this name would share the directory of the table.
    #[test]
    fn no_guest_has_the_directory_of_the_table() {
        assert_eq!(folder_name(Some("index")), "%69ndex");
        assert_eq!(folder_name(Some("%69ndex")), "%2569ndex");
        assert_eq!(folder_name(Some("index-1")), "index-1");
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["web-3", "db_1.example.org", "4711"] {
            assert_eq!(folder_name(Some(name)), name);
        }
    }

    #[test]
    fn no_name_leaves_the_store() {
        for (name, expected) in [
            ("..", "%2E."),
            (".", "%2E"),
            (".hidden", "%2Ehidden"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            ("/root", "%2Froot"),
            ("a b\n\0", "a%20b%0A%00"),
            ("100%", "100%25"),
            ("büro", "b%C3%BCro"),
            ("x.incomplete", "x%2Eincomplete"),
        ] {
            assert_eq!(folder_name(Some(name)), expected);
        }
    }

    #[test]
    fn a_guest_without_a_name_has_a_directory_too() {
        assert_eq!(folder_name(None), "unnamed");
        assert_eq!(folder_name(Some("")), "unnamed");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (one, other) = ("x".repeat(5000) + "1", "x".repeat(5000) + "2");
        let (one, other) = (folder_name(Some(&one)), folder_name(Some(&other)));
        assert!(one.len() <= MAX_NAME && other.len() <= MAX_NAME);
        assert_ne!(one, other);
    }
}
