//! Takes clients one after the other, and their commands.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, PoisonError};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use super::answers::since;
use super::{Answer, Peer, State, When};

impl Peer {
    pub(super) fn serve(self: Arc<Self>) {
        while let Ok((client, _)) = self.listener.accept() {
            let Ok(writer) = client.try_clone() else { return };
            {
                let mut state = self.lock();
                if state.ended {
                    return;
                }
                state.client = Some(writer);
                if (self.script.greets && !state.silent) || state.mended {
                    let (major, minor, micro) = self.script.version;
                    let qemu = json!({ "micro": micro, "minor": minor, "major": major });
                    let version = json!({ "qemu": qemu, "package": "scripted" });
                    state.send(&json!({ "QMP": { "version": version, "capabilities": ["oob"] } }));
                }
            }
            self.changed.notify_all();
            self.take_commands(&client);
            self.lock().client = None;
            self.changed.notify_all();
        }
    }

    /// Answers a client until it goes.
    fn take_commands(self: &Arc<Self>, client: &UnixStream) {
        let mut pending = Vec::new();
        let mut descriptor = None;
        loop {
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            // Another test's program must not inherit the pipe.
            let flags = RecvFlags::CMSG_CLOEXEC;
            let mut into = [IoSliceMut::new(&mut bytes)];
            let count = match recvmsg(client, &mut into, &mut control, flags) {
                Ok(message) if message.bytes > 0 => message.bytes,
                _ => return,
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                    descriptor = descriptors.next();
                }
            }
            pending.extend(&bytes[..count]);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let command: Value = serde_json::from_slice(&line).expect("a command in JSON");
                self.run(&command, &mut descriptor);
            }
        }
    }

    /// Runs a command. Its effects and its reply are one step for who looks.
    fn run(self: &Arc<Self>, command: &Value, descriptor: &mut Option<OwnedFd>) {
        let name = command["execute"].as_str().expect("a command's name");
        let arguments = command.get("arguments").cloned().unwrap_or_else(|| json!({}));
        let mut state = self.lock();
        state.received.push((name.to_owned(), arguments.clone()));
        let times = state.received.iter().filter(|(received, _)| received == name).count();
        let before = |when: &When| matches!(when, When::Before(wanted, at) if (*wanted, *at) == (name, times));
        if let Some(when) = state.meddling.iter().map(|(when, _)| *when).find(before) {
            state.meddle_when(when);
        }
        self.changed.notify_all();
        let part = name == "dump-guest-memory" && arguments["begin"].is_u64();
        if self.script.delay.contains(name)
            || (part && self.script.delay.contains("part of dump-guest-memory"))
        {
            let waits = |state: &mut State| !state.answers_all && !state.ended;
            state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        }
        let mut dump = None;
        let answer = match self.script.refuse.get(name) {
            Some((class, text)) => Err((*class, (*text).to_owned())),
            None if self.script.version < since(name) && !self.knows_encryption(name) => {
                Err(("CommandNotFound", format!("The command {name} has not been found")))
            }
            None if name == "dump-guest-memory" => {
                self.take_dump(&mut state, &arguments).map(|fd| {
                    dump = Some(fd);
                    json!({})
                })
            }
            None => self.answer(&mut state, name, &arguments, descriptor),
        };
        let reply = |answer: Answer| match answer {
            Ok(value) => json!({ "return": value, "id": command["id"] }),
            Err((class, text)) => {
                json!({ "error": { "class": class, "desc": text }, "id": command["id"] })
            }
        };
        match dump {
            Some(pipe) if arguments["detach"] == true => {
                state.send(&reply(answer));
                let peer = Arc::clone(self);
                std::thread::spawn(move || peer.dump(pipe));
            }
            Some(pipe) => {
                drop(state);
                let outcome = match self.part(&arguments) {
                    Some(bytes) => self.send_range(&pipe, &bytes),
                    None => self.dump(pipe),
                };
                self.lock().send(&reply(outcome.map(|()| json!({}))));
            }
            None => {
                state.send(&reply(answer));
                if name == "cont" && std::mem::take(&mut state.panics_later) {
                    let peer = Arc::clone(self);
                    std::thread::spawn(move || peer.panic_later());
                }
                self.follow_up(state, name);
                self.changed.notify_all();
            }
        }
    }
}
