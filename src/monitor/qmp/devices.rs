//! The devices of a guest, by QEMU's object tree.

use serde_json::json;

use super::Client;
use crate::monitor::{Answer, MonitorError, WaitLimits};

/// Where QEMU has devices: those with an id, those without, and those of the machine.
const FOLDERS: [&str; 3] =
    ["/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached"];

impl Client {
    /// The types of the guest's devices.
    ///
    /// Returns `Ok(None)` if this QEMU does not list them.
    pub fn device_types(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<Vec<String>>> {
        let mut found = None;
        for folder in FOLDERS {
            let answer = match self.execute("qom-list", json!({ "path": folder }), limits) {
                Ok(answer) => answer,
                Err(MonitorError::Refused { .. }) => continue,
                Err(error) => return Err(error),
            };
            let types = answer.as_array().into_iter().flatten().filter_map(|object| {
                let child = object.get("type")?.as_str()?;
                Some(child.strip_prefix("child<")?.strip_suffix('>')?.to_owned())
            });
            found.get_or_insert_with(Vec::new).extend(types);
        }
        Ok(found)
    }
}
