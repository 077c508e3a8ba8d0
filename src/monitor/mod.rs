//! A guest's manager: what answers for its run state, dumps it and lets it go.

pub(crate) mod dump_pipe;
mod guest_event;
pub(crate) mod qemu_process;
pub mod qmp;

pub use guest_event::GuestEvent;
