//! What another client does to the guest, when the script says so.

use serde_json::json;

use super::{Meddling, PANICKED, State, When};

impl State {
    /// Another client's dump is a step further, and maybe at its end.
    pub(super) fn other_dump_goes_on(&mut self, total: usize) {
        if self.other_dump == 1 {
            let result = json!({ "status": "completed", "completed": 0, "total": total });
            self.emit("DUMP_COMPLETED", json!({ "result": result }));
            self.meddle_when(When::OtherDumpCompletes);
        }
        self.other_dump = self.other_dump.saturating_sub(1);
    }

    /// Another client acts, if its time has come.
    pub(super) fn meddle_when(&mut self, now: When) {
        while let Some(at) = self.meddling.iter().position(|(when, _)| *when == now) {
            let (_, meddling) = self.meddling.remove(at);
            self.meddle(meddling);
        }
    }

    fn meddle(&mut self, meddling: Meddling) {
        let reset = json!({ "guest": false, "reason": "host-qmp-system-reset" });
        let panicked = json!({ "action": "pause" });
        let shutdown = json!({ "guest": false, "reason": "host-signal" });
        let nothing = json!({});
        let run = self.run.clone();
        let (events, run) = match meddling {
            Meddling::Resets => (vec![("RESET", reset)], "prelaunch"),
            Meddling::Restarts => (vec![("RESET", reset), ("RESUME", nothing)], "running"),
            Meddling::Resumes => (vec![("RESUME", nothing)], "running"),
            Meddling::PanicsAgain => {
                let resumed = ("RESUME", nothing.clone());
                (vec![resumed, ("GUEST_PANICKED", panicked), ("STOP", nothing)], PANICKED)
            }
            Meddling::ResumesAndPauses => {
                (vec![("RESUME", nothing.clone()), ("STOP", nothing)], "paused")
            }
            Meddling::ShutsDown => (vec![("SHUTDOWN", shutdown)], "shutdown"),
            Meddling::Dumps(times) => {
                self.other_dump = times;
                (Vec::new(), run.as_str())
            }
            Meddling::PowersDown => (vec![("POWERDOWN", nothing)], run.as_str()),
            Meddling::FailsAnEarlierDump => {
                let result = json!({ "status": "failed", "completed": 4096, "total": 4096 });
                let error = "dump: failed to save memory: Broken pipe";
                let failed = json!({ "result": result, "error": error });
                (vec![("DUMP_COMPLETED", failed)], run.as_str())
            }
        };
        self.panicked_cpu = usize::from(meddling == Meddling::PanicsAgain);
        run.clone_into(&mut self.run);
        for (name, data) in events {
            self.emit(name, data);
        }
    }
}
