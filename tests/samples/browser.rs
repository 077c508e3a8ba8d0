//! The page in a real browser (full run): Debian's Chromium, without a window.
//!
//! What the browser made of the page is read back from it: its title, its stacks, the lines
//! of the log that a search leaves. Its console must stay empty.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use crate::CORE;
use crate::tool::run;
use crate::transcript::project;

/// The sample's page in a folder of its own.
fn page() -> (TempDir, PathBuf) {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let page = folder.path().join("report.html");
    let core = project().join(CORE);
    let (core, path) = (core.to_str().expect("UTF-8"), page.to_str().expect("UTF-8"));
    run(["report", core, "--format", "html", "-o", path]).expect(0);
    (folder, page)
}

/// Has Chromium open a page, and gives what it printed and what it logged.
fn chromium(folder: &Path, arguments: &[&str]) -> (String, String) {
    let profile = folder.join("profile");
    let ran = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=3000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .output()
        .expect("the full run needs chromium");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    (text(&ran.stdout), text(&ran.stderr))
}

fn full() -> bool {
    env::var_os("VMCORECTL_TEST_FULL").is_some()
}

#[test]
fn a_browser_shows_the_report_and_complains_of_nothing() {
    if !full() {
        return;
    }
    let (folder, page) = page();
    let url = format!("file://{}", page.display());
    let (dom, log) = chromium(folder.path(), &["--dump-dom", &url]);
    assert!(!log.contains("CONSOLE"), "{log}");
    assert!(dom.contains("<h1>kernel panic: sysrq triggered crash</h1>"), "{dom}");
    assert!(dom.contains("sysrq_handle_crash+0x16/0x20"));
    let shown = dom.split("id=\"count\"").nth(1).and_then(|rest| rest.split('<').next());
    let shown = shown.and_then(|rest| rest.split('>').nth(1)).expect("a count");
    let counted: Vec<_> = shown.split(' ').collect();
    assert_eq!(counted[0], counted[2], "the script counts all records: {shown}");
}

#[test]
fn a_browser_searches_the_log() {
    if !full() {
        return;
    }
    let (folder, page) = page();
    let url = format!("file://{}#search=sysrq%20crash", page.display());
    let (dom, log) = chromium(folder.path(), &["--dump-dom", &url]);
    assert!(!log.contains("CONSOLE"), "{log}");
    let lines: Vec<_> = dom.split("<div data-level=").skip(1).collect();
    let left: Vec<_> = lines.iter().filter(|line| !line.contains("hidden=\"\"")).collect();
    assert!(!left.is_empty() && left.len() * 10 < lines.len(), "{} of {}", left.len(), lines.len());
    assert!(left.iter().all(|line| line.contains("<mark>sysrq</mark>")), "{left:#?}");
}

#[test]
fn a_browser_draws_the_page_in_light_and_dark() {
    if !full() {
        return;
    }
    let (folder, page) = page();
    let url = format!("file://{}", page.display());
    let mut pictures = Vec::new();
    for (name, dark) in [("light", false), ("dark", true)] {
        let picture = folder.path().join(name).with_extension("png");
        let shot = format!("--screenshot={}", picture.display());
        let mut arguments = vec![shot.as_str(), "--window-size=1200,1600", url.as_str()];
        if dark {
            arguments.push("--force-dark-mode");
        }
        chromium(folder.path(), &arguments);
        pictures.push(fs::read(picture).expect("a picture"));
    }
    assert!(
        pictures.iter().all(|picture| picture.starts_with(b"\x89PNG") && picture.len() > 20_000)
    );
    assert_ne!(pictures[0], pictures[1]);
}
