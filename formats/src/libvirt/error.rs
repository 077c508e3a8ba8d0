//! libvirt's errors.

use super::xdr::{Reader, XdrError};
use crate::text::{MAX_TEXT, bounded};

/// An error that libvirt answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// Its number (`virErrorNumber`).
    pub code: i32,
    /// Its text, in libvirt's language.
    pub message: String,
}

impl RemoteError {
    /// The call or the monitor's access is not allowed.
    pub const OPERATION_DENIED: i32 = 29;
    /// libvirt could not decode the call.
    pub const RPC: i32 = 39;
    /// No domain has that name or UUID.
    pub const NO_DOMAIN: i32 = 42;
    /// The domain does not run, or is in another state than the call needs.
    pub const OPERATION_INVALID: i32 = 55;
    /// Another client's job did not end.
    pub const OPERATION_TIMEOUT: i32 = 68;

    /// The error in the payload of a reply. What follows its text is not read.
    pub fn decode(payload: &[u8]) -> Result<Self, XdrError> {
        let mut reader = Reader::new(payload);
        let code = reader.i32("error code")?;
        reader.i32("error domain")?;
        let message = reader.optional("error message", |reader| reader.string("error message"))?;
        Ok(Self { code, message: bounded(message.unwrap_or("no reason given"), MAX_TEXT) })
    }

    /// The number's name in libvirt.
    pub fn name(&self) -> String {
        let name = match self.code {
            1 => "INTERNAL_ERROR",
            3 => "NO_SUPPORT",
            8 => "INVALID_ARG",
            9 => "OPERATION_FAILED",
            Self::OPERATION_DENIED => "OPERATION_DENIED",
            38 => "SYSTEM_ERROR",
            Self::RPC => "RPC",
            Self::NO_DOMAIN => "NO_DOMAIN",
            45 => "AUTH_FAILED",
            Self::OPERATION_INVALID => "OPERATION_INVALID",
            Self::OPERATION_TIMEOUT => "OPERATION_TIMEOUT",
            67 => "CONFIG_UNSUPPORTED",
            78 => "OPERATION_ABORTED",
            79 => "AUTH_CANCELLED",
            88 => "ACCESS_DENIED",
            code => return format!("libvirt's error {code}"),
        };
        format!("VIR_ERR_{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::xdr::Writer;
    use super::*;

    #[test]
    fn an_error_has_a_number_and_a_text() {
        let payload = Writer::default()
            .i32(55)
            .i32(10)
            .optional_string(Some("Requested operation is not valid: domain is not running"))
            .i32(2)
            .into_bytes();
        let error = RemoteError::decode(&payload).unwrap();
        assert_eq!(error.code, RemoteError::OPERATION_INVALID);
        assert_eq!(error.name(), "VIR_ERR_OPERATION_INVALID");
        assert_eq!(error.message, "Requested operation is not valid: domain is not running");
        let without = Writer::default().i32(4711).i32(0).optional_string(None).into_bytes();
        let error = RemoteError::decode(&without).unwrap();
        assert_eq!(
            (error.message.as_str(), error.name().as_str()),
            ("no reason given", "libvirt's error 4711")
        );
        assert!(RemoteError::decode(&payload[..9]).is_err());
    }
}
