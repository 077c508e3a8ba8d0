//! The client of libvirt's protocol against a scripted libvirtd.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use vmcore_formats::libvirt::call::Call;
use vmcore_formats::libvirt::domain::{DomainState, Uuid};
use vmcore_formats::libvirt::error::RemoteError;
use vmcore_formats::libvirt::event::EventKind;
use vmcorectl::monitor::libvirt::{Access, Address, Client, Environment, Received};
use vmcorectl::monitor::{Answer, MonitorError, WaitLimits};

use crate::scripted_libvirt::procedure::{
    AUTH_LIST, BY_NAME, BY_UUID, LIB_VERSION, LIST, OPEN, PEEK, REGISTER, RESUME, STATE, XML,
};
use crate::scripted_libvirt::{
    CONNECTING, LibvirtScript, PANICKED, RUNNING, SHUT_OFF, ScriptedLibvirt, UUID,
};

const LIMITS: WaitLimits<'static> =
    WaitLimits { timeout: Duration::from_secs(60), until: None, interrupt: None };
/// For what never comes.
const SHORT: WaitLimits<'static> =
    WaitLimits { timeout: Duration::from_millis(50), until: None, interrupt: None };

fn connect(libvirt: &ScriptedLibvirt, limits: &WaitLimits<'_>) -> Answer<Client> {
    let address = Address::new(Some(&libvirt.uri()), &Environment::default()).expect("a URI");
    Client::connect(&address, Access::ReadWrite, limits)
}

/// All that is asked of a domain.
fn ask_everything(client: &mut Client) {
    assert_eq!(client.version().to_string(), "9.0.0");
    client.register_events(&LIMITS).expect("events");
    let domains = client.active_domains(&LIMITS).expect("a list");
    let domain = client.lookup("web-3", &LIMITS).expect("the domain");
    assert_eq!(domains, std::slice::from_ref(&domain));
    assert_eq!(domain.uuid, Uuid(UUID));
    assert_eq!(client.lookup(&domain.uuid.to_string(), &LIMITS).expect("the domain"), domain);
    assert_eq!(client.state(&domain, &LIMITS).expect("a state"), DomainState::PANICKED);
    let xml = client.xml(&domain, &LIMITS).expect("XML");
    assert!(xml.preserves() && xml.vmcoreinfo);
    assert!(!client.job(&domain, &LIMITS).expect("a job").is_active());
    client.preserve_on_crash(&domain, &LIMITS).expect("on_crash");
    let memory = client.peek(&domain, 0x10_0000, 1 << 16, &LIMITS).expect("memory");
    assert_eq!(memory.len(), 1 << 16);
    client.reset(&domain, &LIMITS).expect("a reset");
    client.resume(&domain, &LIMITS).expect("it runs");
    client.suspend(&domain, &LIMITS).expect("it is paused");
    client.destroy(&domain, &LIMITS).expect("it has ended");
    assert!(client.state(&domain, &LIMITS).expect("a state").is_shut_off());
    let events = [EventKind::Reset, EventKind::Resumed, EventKind::Suspended, EventKind::Stopped];
    for kind in events {
        let event = std::iter::from_fn(|| client.take_event()).find(|event| event.domain == domain);
        assert_eq!(event.expect("an event").kind, kind);
    }
}

#[test]
fn everything_is_asked_and_ordered() {
    let libvirt = ScriptedLibvirt::start(LibvirtScript::default());
    ask_everything(&mut connect(&libvirt, &LIMITS).expect("a connection"));
    assert_eq!(libvirt.state(), SHUT_OFF);
}

#[test]
fn messages_may_come_in_pieces_with_events_between_them() {
    let script = LibvirtScript { in_pieces: true, events: 3, ..LibvirtScript::default() };
    let libvirt = ScriptedLibvirt::start(script);
    ask_everything(&mut connect(&libvirt, &LIMITS).expect("a connection"));
}

#[test]
fn replies_may_come_in_another_order_than_the_calls() {
    let script = LibvirtScript { late: BTreeSet::from([STATE]), ..LibvirtScript::default() };
    let libvirt = ScriptedLibvirt::start(script);
    let mut client = connect(&libvirt, &LIMITS).expect("a connection");
    let domain = client.lookup("web-3", &LIMITS).expect("the domain");
    let state = client.begin(&Call::GetState(&domain), &LIMITS).expect("a call");
    let xml = client.xml(&domain, &LIMITS).expect("XML");
    assert_eq!(xml.name.as_deref(), Some("web-3"));
    match client.wait("the state", &LIMITS, &[]).expect("a reply") {
        Received::Reply(id, Ok(payload)) => {
            assert_eq!(id, state);
            assert_eq!(payload, [0, 0, 0, 6, 0, 0, 0, 1]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_of_each_call_is_libvirts_own() {
    const TEXT: &str = "operation forbidden: read only access prevents it";
    for procedure in CONNECTING.into_iter().chain([REGISTER, LIST, BY_NAME, STATE, XML, PEEK]) {
        let libvirt = ScriptedLibvirt::start(LibvirtScript::failing(procedure, 29, TEXT));
        let error = ask(&libvirt, &LIMITS).expect_err("an error");
        let refusal = error.refusal().unwrap_or_else(|| panic!("{procedure}: {error}"));
        assert_eq!(refusal.code, Some(RemoteError::OPERATION_DENIED));
        assert_eq!(refusal.description, TEXT);
        assert!(error.to_string().starts_with("libvirt refused "), "{error}");
    }
}

#[test]
fn a_libvirt_that_is_silent_at_a_call_is_not_waited_for_without_end() {
    for procedure in [AUTH_LIST, OPEN, LIB_VERSION, BY_NAME, STATE, PEEK] {
        let silent = BTreeSet::from([procedure]);
        let libvirt = ScriptedLibvirt::start(LibvirtScript { silent, ..LibvirtScript::default() });
        let limits = WaitLimits { timeout: Duration::from_millis(500), ..LIMITS };
        let error = ask(&libvirt, &limits).expect_err("an error");
        assert!(matches!(error, MonitorError::TimedOut { .. }), "{procedure}: {error}");
    }
}

#[test]
fn huge_messages_and_junk_are_refused() {
    for length in [0, 27, (32 << 20) + 5, u32::MAX] {
        let claims = BTreeMap::from([(STATE, length)]);
        let libvirt = ScriptedLibvirt::start(LibvirtScript { claims, ..LibvirtScript::default() });
        let error = ask(&libvirt, &LIMITS).expect_err("an error");
        assert!(matches!(error, MonitorError::NotLibvirt { .. }), "{length}: {error}");
        assert!(error.is_connection_lost());
    }
    for (procedure, length) in [(STATE, 4), (BY_NAME, 20), (XML, 3), (PEEK, 8), (LIST, 64)] {
        let junk = BTreeMap::from([(procedure, length)]);
        let libvirt = ScriptedLibvirt::start(LibvirtScript { junk, ..LibvirtScript::default() });
        let error = ask(&libvirt, &LIMITS).expect_err("an error");
        assert!(matches!(error, MonitorError::Unexpected { .. }), "{procedure}: {error}");
    }
    // As long as a message may be, and of nothing.
    let junk = BTreeMap::from([(XML, (32 << 20) + 4 - 28)]);
    let libvirt = ScriptedLibvirt::start(LibvirtScript { junk, ..LibvirtScript::default() });
    ask(&libvirt, &LIMITS).expect_err("an error");
}

#[test]
fn an_authentication_that_this_client_does_not_have_is_refused() {
    for (authentications, works) in [(&[0][..], true), (&[2], true), (&[1], false), (&[9], false)] {
        let sasl = "gssapi,digest-md5";
        let script = LibvirtScript { authentications, sasl, ..LibvirtScript::default() };
        match connect(&ScriptedLibvirt::start(script), &LIMITS) {
            Ok(_) => assert!(works),
            Err(error) => {
                assert!(matches!(error, MonitorError::Authentication { .. }), "{error}");
                assert!(!works && error.hint().is_some());
            }
        }
    }
}

#[test]
fn a_user_and_a_password_are_those_of_libvirts_own_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("auth.conf");
    let connect = |password: Option<&str>| {
        let _ = fs::remove_file(&file);
        if let Some(password) = password {
            let text = format!(
                "[credentials-a]\nauthname=web\npassword={password}\n\
                 [auth-libvirt-default]\ncredentials=a\n"
            );
            fs::write(&file, text).expect("a file");
        }
        let script = LibvirtScript {
            authentications: &[1],
            sasl: "digest-md5,plain",
            ..LibvirtScript::default()
        };
        let libvirt = ScriptedLibvirt::start(script);
        let uri = format!("{}&authfile={}", libvirt.uri(), file.display());
        let address = Address::new(Some(&uri), &Environment::default()).expect("a URI");
        Client::connect(&address, Access::ReadWrite, &LIMITS).map(|client| client.version())
    };
    assert_eq!(connect(Some("p=1")).expect("a connection").to_string(), "9.0.0");
    let error = connect(Some("p=2")).expect_err("another password");
    assert!(matches!(error, MonitorError::Refused { .. }), "{error}");
    let error = connect(None).expect_err("no password");
    assert!(matches!(error, MonitorError::NotAuthenticated { .. }), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("auth.conf")));
}

#[test]
fn events_come_while_nothing_is_asked_and_an_end_is_seen() {
    let running = LibvirtScript { state: RUNNING, ..LibvirtScript::default() };
    let libvirt = ScriptedLibvirt::start(running);
    let mut client = connect(&libvirt, &LIMITS).expect("a connection");
    client.register_events(&LIMITS).expect("events");
    assert!(matches!(client.wait("events", &SHORT, &[]), Ok(Received::Nothing)));
    libvirt.panic_guest();
    for kind in [EventKind::Suspended, EventKind::Panicked] {
        match client.wait("events", &LIMITS, &[]).expect("an event") {
            Received::Event(event) => {
                assert_eq!((event.kind, event.domain.name), (kind, "web-3".to_owned()))
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(libvirt.state(), PANICKED);
    libvirt.kill();
    let error = client.wait("events", &LIMITS, &[]).expect_err("an end");
    assert!(matches!(error, MonitorError::Closed { .. }), "{error}");
}

#[test]
fn an_unknown_domain_is_looked_for_by_both_of_its_names() {
    let libvirt = ScriptedLibvirt::start(LibvirtScript::default());
    let mut client = connect(&libvirt, &LIMITS).expect("a connection");
    let error = client.lookup(&Uuid([0x22; 16]).to_string(), &LIMITS).expect_err("none");
    assert_eq!(error.refusal().and_then(|refusal| refusal.code), Some(RemoteError::NO_DOMAIN));
    assert_eq!((libvirt.calls(BY_UUID), libvirt.calls(BY_NAME)), (1, 1));
    assert_eq!(libvirt.calls(RESUME), 0);
}

/// Asks for one thing after the other.
fn ask(libvirt: &ScriptedLibvirt, limits: &WaitLimits<'_>) -> Answer<()> {
    let mut client = connect(libvirt, limits)?;
    client.register_events(limits)?;
    client.active_domains(limits)?;
    let domain = client.lookup("web-3", limits)?;
    client.state(&domain, limits)?;
    client.xml(&domain, limits)?;
    client.peek(&domain, 0, 16, limits)?;
    Ok(())
}
