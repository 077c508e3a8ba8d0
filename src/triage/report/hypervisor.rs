//! QEMU's panic event: for guests whose log has no crash.
//!
//! ```text
//! hyper-v   arg1..arg5   Windows: STOP code and its parameters
//!                        Linux:   error, OS id, instruction, RAX or stack, stack
//! s390      core, psw-mask, psw-addr, reason
//! tdx, sev  error code, message
//! ```
//!
//! An OS id whose upper 16 bits are 0x8100 is Linux's: `hv_generate_guest_id` of the kernel.

use serde_json::Value;

use super::bugcheck::Stop;

/// The upper 16 bits of the OS id of Linux.
const LINUX: u64 = 0x8100;

/// The information of a panic event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PanicInfo {
    /// A bugcheck of Windows.
    Windows(Stop),
    /// A panic of Linux, reported through Hyper-V's interface.
    Linux {
        /// The error code.
        error: u64,
        /// The program counter.
        pc: u64,
    },
    /// Messages of Linux, which are in the guest's memory.
    LinuxMessage {
        /// The guest's physical address.
        at: u64,
        /// How many bytes it has.
        length: u64,
    },
    /// A state of s390x in which no CPU runs.
    S390 {
        /// QEMU's word for the state.
        reason: String,
        /// The PSW's address.
        psw_addr: Option<u64>,
    },
    /// A confidential guest's reason.
    Confidential {
        /// `tdx` or `sev`.
        kind: String,
        /// Its message, or its code.
        message: String,
    },
}

impl PanicInfo {
    /// Reads the information.
    ///
    /// Returns `None` if its type is unknown or it is empty.
    pub(super) fn of(info: &Value) -> Option<Self> {
        let number = |key: &str| info.get(key).and_then(Value::as_u64);
        let text = |key: &str| info.get(key).and_then(Value::as_str);
        match text("type")? {
            "hyper-v" => {
                let (code, p1, p2, p3, p4) = (
                    number("arg1")?,
                    number("arg2")?,
                    number("arg3")?,
                    number("arg4")?,
                    number("arg5")?,
                );
                if p1 >> 48 == LINUX {
                    return Some(Self::Linux { error: code, pc: p2 });
                }
                if (code, p1, p2) == (0, 0, 0) {
                    // Without an address and a length there is no message.
                    return (p3 != 0 && p4 != 0)
                        .then_some(Self::LinuxMessage { at: p3, length: p4 });
                }
                Some(Self::Windows(Stop { code, parameters: [p1, p2, p3, p4] }))
            }
            "s390" => Some(Self::S390 {
                reason: text("reason")?.to_owned(),
                psw_addr: number("psw-addr"),
            }),
            kind @ ("tdx" | "sev") => {
                let message = text("message").filter(|message| !message.is_empty());
                let code = || number("error-code").or_else(|| number("code"));
                let message = message
                    .map(str::to_owned)
                    .or_else(|| code().map(|code| format!("code {code:#x}")));
                Some(Self::Confidential {
                    kind: kind.to_owned(),
                    message: message.unwrap_or_else(|| "no reason given".to_owned()),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn windows_and_linux_differ_by_the_id_of_the_system() {
        let info =
            json!({ "type": "hyper-v", "arg1": 0xd1, "arg2": 1, "arg3": 2, "arg4": 3, "arg5": 4 });
        let stop = Stop { code: 0xd1, parameters: [1, 2, 3, 4] };
        assert_eq!(PanicInfo::of(&info), Some(PanicInfo::Windows(stop)));
        let id = 0x8100_0006_0001_0000_u64;
        let info =
            json!({ "type": "hyper-v", "arg1": 14, "arg2": id, "arg3": 99, "arg4": 0, "arg5": 0 });
        assert_eq!(PanicInfo::of(&info), Some(PanicInfo::Linux { error: 14, pc: 99 }));
        let info = json!({ "type": "hyper-v", "arg1": 0, "arg2": 0, "arg3": 0, "arg4": 0x1000, "arg5": 64 });
        assert_eq!(PanicInfo::of(&info), Some(PanicInfo::LinuxMessage { at: 0x1000, length: 64 }));
    }

    #[test]
    fn other_types_have_their_own_words() {
        let info = json!({ "type": "s390", "core": 0, "psw-mask": 0, "psw-addr": 7, "reason": "disabled-wait" });
        assert_eq!(
            PanicInfo::of(&info),
            Some(PanicInfo::S390 { reason: "disabled-wait".to_owned(), psw_addr: Some(7) })
        );
        let info = json!({ "type": "tdx", "error-code": 2, "message": "TD misconfigured" });
        assert!(
            matches!(PanicInfo::of(&info), Some(PanicInfo::Confidential { message, .. }) if message == "TD misconfigured")
        );
        for nothing in
            [json!(null), json!({ "type": "new" }), json!([1]), json!({ "type": "hyper-v" })]
        {
            assert_eq!(PanicInfo::of(&nothing), None, "{nothing}");
        }
    }
}
