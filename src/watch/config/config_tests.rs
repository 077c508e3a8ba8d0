use std::time::Duration;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/vmcorectl.toml"), text)
}

#[track_caller]
fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(parse("").unwrap(), Config::default());
    let policy = Config::default().policy(&["web"]);
    assert_eq!((policy.then, policy.preserve, policy.ignore), (Action::OnCrash, true, false));
}

#[test]
fn the_sample_file_is_the_default_but_for_its_examples() {
    let sample = include_str!("../../../samples/vmcorectl.toml");
    assert_eq!(parse(sample).unwrap(), Config::default());
    // With its examples, too.
    let all: String = sample
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let all = parse(&all).unwrap();
    assert!(all.notify.len() == 1 && all.metrics.is_some() && all.rules.len() == 3);
}

#[test]
fn of_each_key_the_first_rule_that_has_it_counts() {
    let config = parse(
        r#"
        [[policy]]
        guests = ["web-*", "/run/x/*"]
        then = "reset"
        [[policy]]
        guests = ["web-1"]
        then = "quit"
        on-failure = "hold"
        max-hold = "none"
        [[policy]]
        guests = ["*"]
        then = "resume"
        level = 3
        pages = "kernel"
        preserve = false
        "#,
    )
    .unwrap();
    let web = config.policy(&["web-1"]);
    assert_eq!((web.then, web.on_failure, web.max_hold), (Action::Reset, Action::Hold, None));
    assert_eq!((web.level, web.preserve), (Some(3), false));
    assert_eq!(web.pages, "kernel".parse().ok());
    let by_socket = config.policy(&["db", "/run/x/db.qmp"]);
    assert_eq!((by_socket.then, by_socket.on_failure), (Action::Reset, Action::Reset));
    assert_eq!(config.policy(&["db"]).then, Action::Resume);
}

#[test]
fn what_on_crash_says_is_done_after_the_capture() {
    let policy = Config::default().policy(&["web"]);
    for (on_crash, then) in [
        (Some("preserve"), Action::Hold),
        (Some("destroy"), Action::Quit),
        (None, Action::Quit),
        (Some("restart"), Action::Reset),
        (Some("coredump-restart"), Action::Reset),
    ] {
        let resolved = policy.resolved(Some(OnCrash::from_name(on_crash)));
        assert_eq!((resolved.then, resolved.on_failure), (then, then));
        assert_eq!(resolved.max_hold.is_some(), then != Action::Hold);
    }
    assert_eq!(policy.resolved(None).then, Action::Hold);
}

#[test]
fn errors_have_the_line_and_what_is_wrong() {
    for (text, says) in [
        ("\nstor = \"/x\"\n", ":2: unknown field `stor`"),
        ("[guards]\ncaptures = 0", ":2: it must be more than zero"),
        ("[[policy]]\nguests = [\"*\"]\nthen = \"reboot\"", ":3: unknown variant `reboot`"),
        ("[[policy]]\nthen = \"reset\"", ":1: missing field `guests`"),
        ("[[policy]]\nguests=[\"*\"]\nmax-hold = \"5 fortnights\"", ":3: unknown unit"),
        ("[[sockets]]\npaths = [\"run/*\"]", ":2: \"run/*\" is no absolute path"),
        ("libvirt = \"yes\"", ":1: \"yes\" is no URI"),
        ("store = [", ":1: "),
        ("store = \"x\"", ": store is no absolute path"),
        ("notify = [\"mail\"]", "notify does not begin with the absolute path"),
        ("[guards]\ncaptures = 1", "guards.dumping (2) is more than guards.captures (1)"),
        ("[guards]\ncrash-loop = { panics = 5 }", ":2: missing field `within`"),
        ("capture-limit = \"9000h\"", ":1: it is more than a year"),
    ] {
        let error = refused(text);
        assert!(
            error.starts_with("/etc/vmcorectl.toml:") && error.contains(says),
            "{text}: {error}"
        );
        assert!(!error.contains('\n'));
    }
}

#[test]
fn values_are_read_in_their_units() {
    let config = parse(
        r#"
        libvirt = "off"
        stop-within = "2m"
        [guards]
        write-limit = { bytes = "200GiB", within = "1h" }
        store-size = "1T"
        duplicates = 3
        [[sockets]]
        paths = ["/var/run/qemu-server/*.qmp"]
        poll = "5s"
        "#,
    )
    .unwrap();
    assert_eq!(config.libvirt, None);
    assert_eq!(config.stop_within, Duration::from_secs(120));
    let written = config.guards.write_limit.unwrap();
    assert_eq!((written.bytes, written.within), (200 << 30, Duration::from_hours(1)));
    assert_eq!((config.guards.store_size, config.guards.duplicates), (Some(1 << 40), Some(3)));
    assert_eq!(config.sockets[0].poll, Some(Duration::from_secs(5)));
}
