//! The page of a report.

use super::*;
use crate::render::report::sample::report;

fn printed(report: &Report) -> String {
    let mut out = Vec::new();
    page(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn nothing_of_the_guest_is_a_tag_or_leaves_an_attribute() {
    let clean = printed(&report(""));
    for hostile in
        ["<script>alert(1)</script>", "\"><img src=x onerror=y>", "'&lt;</pre>", "</style>"]
    {
        let page = printed(&report(hostile));
        for tag in ["<script", "<img", "</style", "</pre", "<!--"] {
            assert_eq!(page.matches(tag).count(), clean.matches(tag).count(), "{tag} in {hostile}");
        }
        assert_eq!(page.matches('"').count(), clean.matches('"').count(), "{hostile}");
    }
}

#[test]
fn the_page_needs_nothing_else() {
    let page = printed(&report(""));
    for outside in ["http:", "https:", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn the_policy_names_the_hash_of_the_script() {
    // openssl dgst -sha256 -binary | base64
    assert_eq!(base64(&Sha256::digest(b"abc")), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    assert_eq!(
        (base64(b"a"), base64(b"ab"), base64(b"abc")),
        ("YQ==".to_owned(), "YWI=".to_owned(), "YWJj".to_owned())
    );
    let page = printed(&report(""));
    let script = page.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    assert!(page.contains(&format!("'sha256-{}'", base64(&Sha256::digest(script)))));
}

#[test]
fn a_report_of_nothing_is_a_page_too() {
    let page = printed(&Report::default());
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
}
