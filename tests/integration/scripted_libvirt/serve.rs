//! Connections of the scripted libvirtd: calls in, replies and events out.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use vmcore_formats::libvirt::message::{self, Header, Kind, REMOTE};
use vmcore_formats::libvirt::xdr::{Reader, Writer};

use super::procedure::{
    AUTH_LIST, AUTH_POLKIT, BY_NAME, BY_UUID, DESTROY, DUMP, JOB_INFO, LIB_VERSION,
    LIFECYCLE_ACTION, LIST, OPEN, PEEK, REGISTER, RESET, RESUME, SASL_INIT, SASL_START, STATE,
    SUSPEND, XML,
};
use super::{PANICKED, Peer, RUNNING, SHUT_OFF, UUID};

type Answer = Result<Writer, (i32, String)>;

impl Peer {
    pub(super) fn serve(self: Arc<Self>) {
        while let Ok((connection, _)) = self.listener.accept() {
            let mut state = self.lock();
            if state.ended {
                return;
            }
            let kept = connection.try_clone().expect("a descriptor");
            state.connections.push((kept, BTreeSet::new()));
            let index = state.connections.len() - 1;
            drop(state);
            let peer = Arc::clone(&self);
            std::thread::spawn(move || peer.converse(connection, index));
        }
    }

    fn converse(self: Arc<Self>, mut connection: UnixStream, index: usize) {
        let mut late: Option<Vec<u8>> = None;
        while let Some((header, payload)) = read_call(&mut connection) {
            let procedure = header.procedure;
            self.lock().received.push(procedure);
            self.changed.notify_all();
            self.wait_until(|state| !state.hangs || state.ended);
            if self.script.silent.contains(&procedure) {
                continue;
            }
            if procedure == DUMP && !self.script.fail.contains_key(&procedure) {
                let mut reader = Reader::new(&payload);
                skip_domain(&mut reader);
                let path = reader.string("path").expect("a path").to_owned();
                let (peer, connection) =
                    (Arc::clone(&self), connection.try_clone().expect("a descriptor"));
                std::thread::spawn(move || {
                    if let Some(answer) = peer.dump(&path) {
                        peer.send(&connection, &reply(&header, answer));
                    }
                });
                continue;
            }
            if self.script.resumed_at == Some(procedure) {
                let mut state = self.lock();
                if state.domain == PANICKED {
                    state.domain = RUNNING;
                    state.emit(self.script.name, 4, 0);
                }
            }
            for number in 0..self.script.events {
                let kind = i32::try_from(number % 4).expect("a small number");
                let payload = domain(Writer::default().i32(0), "other").i32(kind).i32(0);
                self.send(&connection, &event(318, &payload.into_bytes()));
            }
            let answer = match self.script.fail.get(&procedure) {
                Some((code, text)) => Err((*code, (*text).to_owned())),
                None => self.answer(procedure, &payload, index),
            };
            let mut bytes = reply(&header, answer);
            if let Some(length) = self.script.claims.get(&procedure) {
                bytes.splice(..4, length.to_be_bytes());
            }
            if let Some(length) = self.script.junk.get(&procedure) {
                let header = Header { kind: Kind::Reply, ..header };
                bytes = message::encode(&header, &vec![0xff; *length]);
            }
            if self.script.late.contains(&procedure) {
                late = Some(bytes);
                continue;
            }
            self.send(&connection, &bytes);
            if let Some(bytes) = late.take() {
                self.send(&connection, &bytes);
            }
        }
    }

    fn send(&self, connection: &UnixStream, bytes: &[u8]) {
        if self.script.in_pieces {
            bytes.iter().for_each(|byte| send(connection, &[*byte]));
        } else {
            send(connection, bytes);
        }
    }

    fn answer(&self, procedure: u32, payload: &[u8], index: usize) -> Answer {
        let mut reader = Reader::new(payload);
        let mut state = self.lock();
        let (name, is_active) = (self.script.name, state.domain != SHUT_OFF);
        let done = Ok(Writer::default());
        let answer = match procedure {
            AUTH_LIST => {
                let wanted = self.script.authentications;
                let count = u32::try_from(wanted.len()).expect("a small number");
                Ok(wanted.iter().fold(Writer::default().u32(count), |writer, one| writer.i32(*one)))
            }
            SASL_INIT => Ok(Writer::default().string(self.script.sasl)),
            SASL_START => {
                assert_eq!(reader.string("mechanism"), Ok("PLAIN"));
                assert_eq!(reader.i32("no message"), Ok(0));
                match reader.characters("a message", 100).expect("a message").as_slice() {
                    b"\0web\0p=1" => Ok(Writer::default().i32(1).i32(1).u32(0)),
                    _ => Err((45, "authentication failed".to_owned())),
                }
            }
            AUTH_POLKIT => Ok(Writer::default().i32(1)),
            OPEN => done,
            LIB_VERSION => Ok(Writer::default().u64(self.script.version)),
            LIST => Ok(domain(Writer::default().u32(1), name).u32(1)),
            BY_NAME if reader.string("name") == Ok(name) => Ok(domain(Writer::default(), name)),
            BY_UUID if payload == UUID => Ok(domain(Writer::default(), name)),
            BY_NAME | BY_UUID => Err((42, "Domain not found: no domain with that name".to_owned())),
            STATE => Ok(Writer::default().i32(state.domain.0).i32(state.domain.1)),
            XML => Ok(Writer::default().string(&self.xml())),
            JOB_INFO => {
                let job = Writer::default().i32(if state.dumping { 2 } else { 0 });
                Ok((0..11).fold(job, |writer, _| writer.u64(0)))
            }
            REGISTER => {
                let event = reader.u32("event").expect("a number");
                state.connections[index].1.insert(event);
                Ok(Writer::default().u32(event))
            }
            PEEK => {
                skip_domain(&mut reader);
                let at = reader.u64("address").expect("an address");
                let length = reader.u32("length").expect("a length");
                Ok(Writer::default().opaque(&self.script.stream.physical(at, length)))
            }
            _ if !is_active => {
                Err((55, "Requested operation is not valid: domain is not running".to_owned()))
            }
            _ if state.dumping && procedure != DESTROY => {
                Err((68, "Timed out during operation: cannot acquire state change lock".to_owned()))
            }
            RESUME => {
                state.domain = RUNNING;
                state.emit(name, 4, 0);
                done
            }
            SUSPEND => {
                state.domain = (3, 1);
                state.emit(name, 3, 0);
                done
            }
            RESET => {
                if state.domain == PANICKED {
                    state.domain = super::RESET;
                }
                state.emit_reset(name);
                done
            }
            DESTROY => {
                state.domain = SHUT_OFF;
                state.emit(name, 5, 1);
                done
            }
            LIFECYCLE_ACTION => done,
            unknown => Err((39, format!("unknown procedure: {unknown}"))),
        };
        state.answered.push(procedure);
        self.changed.notify_all();
        answer
    }

    fn xml(&self) -> String {
        let (name, on_crash) = (self.script.name, self.script.on_crash);
        let kib = self.script.stream.memory_bytes() / 1024;
        format!(
            "<domain type='qemu' id='1'><name>{name}</name><memory unit='KiB'>{kib}</memory>\
             <vcpu>2</vcpu><os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>\
             <features><vmcoreinfo state='on'/></features><on_crash>{on_crash}</on_crash>\
             <devices><panic model='isa'/></devices></domain>"
        )
    }
}

/// Adds the domain.
pub(super) fn domain(writer: Writer, name: &str) -> Writer {
    writer.string(name).fixed(&UUID).i32(1)
}

fn skip_domain(reader: &mut Reader<'_>) {
    reader.string("name").expect("a name");
    reader.fixed::<16>("UUID").expect("a UUID");
    reader.i32("id").expect("an id");
}

fn read_call(connection: &mut UnixStream) -> Option<(Header, Vec<u8>)> {
    let mut bytes = vec![0; 4];
    connection.read_exact(&mut bytes).ok()?;
    let length = message::length(&bytes).expect("a length").expect("all of it");
    bytes.resize(length, 0);
    connection.read_exact(&mut bytes[4..]).ok()?;
    let (header, payload) = message::decode(&bytes).expect("a message");
    assert_eq!((header.program, header.kind), (REMOTE, Kind::Call));
    Some((header, payload.to_vec()))
}

fn reply(call: &Header, answer: Answer) -> Vec<u8> {
    let header = Header { kind: Kind::Reply, is_error: answer.is_err(), ..*call };
    let payload = answer.unwrap_or_else(|(code, text)| {
        Writer::default().i32(code).i32(10).optional_string(Some(&text)).i32(2)
    });
    message::encode(&header, &payload.into_bytes())
}

/// The message of an event.
pub(super) fn event(procedure: u32, payload: &[u8]) -> Vec<u8> {
    let header =
        Header { program: REMOTE, procedure, kind: Kind::Event, serial: 0, is_error: false };
    message::encode(&header, payload)
}

/// Sends to a client that may be gone.
pub(super) fn send(mut connection: &UnixStream, bytes: &[u8]) {
    let _ = connection.write_all(bytes);
}
