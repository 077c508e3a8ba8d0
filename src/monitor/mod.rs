//! A guest's manager: what answers for its run state, dumps it and lets it go.

mod guest_event;
pub mod qmp;

pub use guest_event::GuestEvent;
