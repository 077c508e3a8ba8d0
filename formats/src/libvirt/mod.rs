//! The messages of libvirt's RPC protocol, as far as a capture needs them.
//!
//! ```text
//! 0   length     u32   of the whole message, these bytes too
//! 4   program    u32   REMOTE 0x20008086
//! 8   version    u32   1
//! 12  procedure  u32   which call
//! 16  type       u32   0 call, 1 reply, 2 event message
//! 20  serial     u32   of the call, and again of its reply
//! 24  status     u32   0 well, 1 error
//! 28  payload          XDR ([`xdr`])
//! ```
//!
//! Numbers are big-endian. They are libvirt's ABI: `src/rpc/virnetprotocol.x` and
//! `src/remote/remote_protocol.x`. Needs: a message's bytes. Gives: values, and the
//! bytes of calls. Does not match replies to calls (a client does).

pub mod call;
pub mod domain;
pub mod error;
pub mod event;
pub mod message;
pub mod reply;
pub mod xdr;
