//! What a line from the monitor means.
//!
//! ```text
//! {"QMP": {"version": {"qemu": {"major", "minor", "micro"}, "package"}, …}}   greeting
//! {"return": VALUE, "id": ID}                                                 reply
//! {"error": {"class": TEXT, "desc": TEXT}, "id": ID}                          refusal
//! {"event": NAME, "data": {…}, "timestamp": {"seconds", "microseconds"}}      event
//! ```
//!
//! Unknown keys are skipped, keys come in any order, and a refusal of a line
//! that QEMU could not parse has no id. Source: QEMU `docs/interop/qmp-spec.rst`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use vmcore_formats::text::{MAX_NAME, MAX_TEXT, bounded};

use crate::monitor::{Event, Refusal, Version};

/// A decoded line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    Greeting(Version),
    Reply { id: Option<u64>, result: Result<Value, Refusal> },
    Event(Event),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "QMP")]
    greeting: Option<RawGreeting>,
    #[serde(default, rename = "return", deserialize_with = "present")]
    value: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    timestamp: Option<RawTime>,
    id: Option<Value>,
}

#[derive(Deserialize)]
struct RawGreeting {
    version: RawVersion,
}

#[derive(Deserialize)]
struct RawVersion {
    qemu: Version,
}

#[derive(Deserialize)]
struct RawTime {
    seconds: i64,
    microseconds: i32,
}

/// Keeps `"return": null` apart from no `return` at all.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(input).map(Some)
}

impl Message {
    /// Decodes a line. Returns `None` if it is nothing that QMP knows.
    pub(super) fn decode(line: &[u8]) -> Option<Self> {
        let raw: Raw = serde_json::from_slice(line).ok()?;
        let id = raw.id.as_ref().and_then(Value::as_u64);
        if let Some(greeting) = raw.greeting {
            return Some(Self::Greeting(greeting.version.qemu));
        }
        if let Some(name) = raw.event {
            let time = raw.timestamp.filter(|time| time.seconds >= 0).and_then(|time| {
                Timestamp::new(time.seconds, time.microseconds.checked_mul(1000)?).ok()
            });
            return Some(Self::Event(Event { name, data: raw.data, time }));
        }
        let result = match (raw.value, raw.error) {
            (Some(value), _) => Ok(value),
            (None, Some(refusal)) => Err(Refusal {
                class: bounded(&refusal.class, MAX_NAME),
                description: bounded(&refusal.description, MAX_TEXT),
                code: None,
            }),
            (None, None) => return None,
        };
        Some(Self::Reply { id, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_line_is_distinguished() {
        let greeting = br#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7},
            "package": "Debian"}, "capabilities": ["oob"]}}"#;
        let version = Version { major: 7, minor: 2, micro: 22 };
        assert_eq!(Message::decode(greeting), Some(Message::Greeting(version)));

        let reply = Message::decode(br#"{"id": 7, "return": {"a": 1}}"#);
        assert_eq!(reply, Some(Message::Reply { id: Some(7), result: Ok(json!({"a": 1})) }));

        let refusal = br#"{"error": {"class": "GenericError", "desc": "no"}}"#;
        let expected =
            Refusal { class: "GenericError".into(), description: "no".into(), code: None };
        assert_eq!(
            Message::decode(refusal),
            Some(Message::Reply { id: None, result: Err(expected) })
        );

        let event = br#"{"timestamp": {"seconds": 1700000000, "microseconds": 250000},
            "event": "STOP"}"#;
        let Some(Message::Event(event)) = Message::decode(event) else { panic!("no event") };
        assert_eq!((event.name.as_str(), event.data), ("STOP", Value::Null));
        assert_eq!(
            event.time.map(|time| time.to_string()).as_deref(),
            Some("2023-11-14T22:13:20.25Z")
        );
    }

    #[test]
    fn an_event_of_a_host_without_a_clock_has_no_time() {
        let event = br#"{"event": "STOP", "timestamp": {"seconds": -1, "microseconds": -1}}"#;
        assert!(matches!(Message::decode(event), Some(Message::Event(Event { time: None, .. }))));
    }

    #[test]
    fn junk_is_no_message() {
        for line in [&b"garbage"[..], b"{", b"{}", b"[1]", b"null", b"\xff\xfe", b"{\"id\": 1}"] {
            assert_eq!(Message::decode(line), None, "{line:?}");
        }
    }
}
