//! What a task is doing, as the letter that `ps` shows.
//!
//! The letter is that of the highest reported bit of the state: `R S D T t X Z P` for none, 1, 2,
//! 4, .. 64. A kernel thread that waits without counting as load (`TASK_NOLOAD`) is `I` and not
//! `D`. Source: Linux `include/linux/sched.h` (`task_state_index`).

use std::fmt;

/// `TASK_UNINTERRUPTIBLE | TASK_NOLOAD`.
const IDLE: u64 = 0x402;
/// `TASK_RTLOCK_WAIT`, of `PREEMPT_RT`: shown as `D`.
const RTLOCK_WAIT: u64 = 0x1000;
/// `TASK_REPORT`.
const REPORTED: u64 = 0x7f;

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// On a CPU, or ready for one.
    Running,
    /// Interruptible sleep.
    Sleeping,
    /// Uninterruptible sleep.
    Blocked,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// Exited.
    Dead,
    /// Exited, and its parent has not waited for it.
    Zombie,
    /// A parked kernel thread.
    Parked,
    /// A kernel thread that waits for work.
    Idle,
}

impl TaskState {
    /// Of `__state` and `exit_state`. The first is `state` before Linux commit 2f064a59a11f "sched:
    /// Change `task_struct::state`" (in v5.14).
    pub fn of(state: u64, exit_state: u64) -> Self {
        let all = state | exit_state;
        if all & IDLE == IDLE {
            return Self::Idle;
        }
        if all & RTLOCK_WAIT != 0 {
            return Self::Blocked;
        }
        match u64::BITS.wrapping_sub((all & REPORTED).leading_zeros()) {
            0 => Self::Running,
            1 => Self::Sleeping,
            2 => Self::Blocked,
            3 => Self::Stopped,
            4 => Self::Traced,
            5 => Self::Dead,
            6 => Self::Zombie,
            _ => Self::Parked,
        }
    }

    /// Its letter.
    pub fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::Blocked => 'D',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Dead => 'X',
            Self::Zombie => 'Z',
            Self::Parked => 'P',
            Self::Idle => 'I',
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::TaskState;

    #[test]
    fn letters_are_those_of_ps() {
        for (state, exit, letter) in [
            (0, 0, 'R'),
            (1, 0, 'S'),
            (2, 0, 'D'),
            (0x102, 0, 'D'),
            (0x402, 0, 'I'),
            (0x2001, 0, 'S'),
            (0x200, 0, 'R'),
            (4, 0, 'T'),
            (8, 0, 't'),
            (0, 0x10, 'X'),
            (0x80, 0x20, 'Z'),
            (0x40, 0, 'P'),
            (0x1000, 0, 'D'),
        ] {
            assert_eq!(TaskState::of(state, exit).letter(), letter, "{state:#x} {exit:#x}");
        }
    }
}
