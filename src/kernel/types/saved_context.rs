//! Where a task keeps its registers while it is switched out.

/// By the names of the members that have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum SavedContext {
    /// In a structure on the task's own stack.
    OnStack {
        /// The member of `task_struct` that points to it.
        sp: &'static str,
        /// The structure. The return address is its last member, the frame pointer is before it.
        frame: &'static str,
        /// Where the task goes on.
        return_address: &'static str,
        /// Its frame pointer.
        frame_pointer: &'static str,
    },
    /// In `task_struct`: frame pointer, stack pointer and program counter, one after the other.
    InTask {
        /// Where the task goes on.
        pc: &'static str,
        /// Its stack pointer.
        sp: &'static str,
        /// Its frame pointer.
        fp: &'static str,
    },
}
