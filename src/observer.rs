//! Who is notified of the progress of a capture or an import.

use crate::corefile::write::Progress;

/// Who is notified of the progress of a capture or an import.
pub trait Observer {
    /// A step was taken.
    fn step(&self, text: &str);
    /// This is what happened to the guest.
    fn title(&self, text: &str);
    /// Something is not as it should be, and the work goes on.
    fn warning(&self, text: &str);
    /// The core is this far.
    fn progress(&self, progress: Progress);
    /// The core came to its end.
    fn dump_ended(&self);
}
