//! What a packet of gdb asks, as far as it matters whether the guest runs on.

/// What gdb asks of a stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `D`: gdb leaves. QEMU's stub lets the guest run.
    Detach,
    /// `k`: gdb leaves, and what is debugged should end. Nobody answers. QEMU ends.
    Kill,
    /// `vKill`: the same, with an answer.
    KillAnswered,
    /// `R`, `r`, `vRun`, `vAttach`: what is debugged should start again.
    Restart,
    /// `QStartNoAckMode`: packets are no longer to be acknowledged.
    WithoutAcknowledgement,
    /// `c`, `s`, `vCont;` and others: the guest should run, or do one instruction.
    Resume,
    /// `Z`, `z`: a breakpoint or watchpoint should be there, or go.
    Breakpoint {
        /// Whether it should be there.
        insert: bool,
        /// Which one.
        breakpoint: Breakpoint,
    },
    /// All else, after which the guest is as it was, but for what a person changed in it.
    Other,
}

/// A breakpoint, as the packets name it: `TYPE,ADDRESS,KIND`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breakpoint(Vec<u8>);

impl Breakpoint {
    /// The body of the packet that removes it.
    pub fn removal(&self) -> Vec<u8> {
        [b"z", self.0.as_slice()].concat()
    }
}

impl Request {
    /// What the body of a packet asks.
    pub fn of(body: &[u8]) -> Self {
        let named = |name: &[u8]| {
            let rest = body.strip_prefix(name);
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b';' | b':')))
        };
        match body {
            _ if named(b"D") => Self::Detach,
            _ if named(b"vKill") => Self::KillAnswered,
            _ if named(b"vRun") || named(b"vAttach") => Self::Restart,
            _ if named(b"QStartNoAckMode") => Self::WithoutAcknowledgement,
            _ if named(b"vCont") => Self::Resume,
            [b'k', ..] => Self::Kill,
            [b'R' | b'r', ..] => Self::Restart,
            // `i` and `I` step by cycles, `b` runs backwards.
            [b'c' | b'C' | b's' | b'S' | b'i' | b'I' | b'b', ..] => Self::Resume,
            [letter @ (b'Z' | b'z'), rest @ ..] => {
                // A condition of the breakpoint, or commands, may follow.
                let name = rest.split(|byte| *byte == b';').next().unwrap_or_default();
                let breakpoint = Breakpoint(name.to_vec());
                Self::Breakpoint { insert: *letter == b'Z', breakpoint }
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_or_resume_the_guest_is_known() {
        let all = |bodies: &[&str], request: Request| {
            bodies.iter().for_each(|body| assert_eq!(Request::of(body.as_bytes()), request));
        };
        all(&["D", "D;1"], Request::Detach);
        all(&["k"], Request::Kill);
        all(&["vKill;1"], Request::KillAnswered);
        all(&["R00", "r", "vRun;", "vAttach;1"], Request::Restart);
        all(&["QStartNoAckMode"], Request::WithoutAcknowledgement);
        all(
            &["c", "c1000", "C05", "s", "S05", "i", "I", "bc", "bs", "vCont;c", "vCont;s:1;c"],
            Request::Resume,
        );
        all(
            &["", "?", "g", "m0,4", "vCont?", "vMustReplyEmpty", "qRcmd,71", "Hg0", "T1", "p0"],
            Request::Other,
        );
    }

    #[test]
    fn a_breakpoint_is_removed_by_the_name_that_it_was_set_with() {
        let Request::Breakpoint { insert, breakpoint } = Request::of(b"Z1,ffff,4;X3,abc") else {
            panic!("another request");
        };
        assert!(insert);
        assert_eq!(breakpoint.removal(), b"z1,ffff,4");
        assert_eq!(Request::of(b"z1,ffff,4"), Request::Breakpoint { insert: false, breakpoint });
    }
}
