//! Orders of the supervisor to the thread that watches one guest.
//!
//! A pair of sockets: the thread polls its end along with the monitor, and the end of the pair is
//! the order to stop.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Look at the guest now.
    Look,
    /// Look at the guest in a while: it is held, and others may want its monitor.
    Later,
    /// End.
    Stop,
}

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct OrderSender(UnixStream);

/// The thread's end.
#[derive(Debug)]
pub(super) struct OrderReceiver(UnixStream);

/// Both ends.
pub(super) fn pair() -> std::io::Result<(OrderSender, OrderReceiver)> {
    let (orders, receiver) = UnixStream::pair()?;
    orders.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    Ok((OrderSender(orders), OrderReceiver(receiver)))
}

impl OrderSender {
    /// Gives an order. Never waits: a thread with many orders has one to look.
    pub(super) fn give(&self, order: Order) {
        let byte = match order {
            Order::Look => b'l',
            Order::Later => b'w',
            Order::Stop => b's',
        };
        let _ = (&self.0).write(&[byte]);
    }
}

impl OrderReceiver {
    /// Waits for an order; `None` if the time is up before.
    pub(super) fn wait(&self, limit: Option<Duration>) -> Option<Order> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        // A signal is handled by another thread.
        while matches!(poll(&mut fds, limit.as_ref()), Err(rustix::io::Errno::INTR)) {}
        self.take()
    }

    /// Takes the newest order, if there is one.
    pub(super) fn take(&self) -> Option<Order> {
        let mut bytes = [0; 64];
        let mut last = None;
        loop {
            match (&self.0).read(&mut bytes) {
                Ok(0) => return Some(Order::Stop),
                Ok(count) => last = bytes.get(count.saturating_sub(1)).copied().or(last),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        last.map(|byte| match byte {
            b'l' => Order::Look,
            b'w' => Order::Later,
            _ => Order::Stop,
        })
    }

    /// What is readable once there is an order.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_order_counts_and_the_end_of_the_supervisor_is_one() {
        let (orders, receiver) = pair().unwrap();
        assert_eq!(receiver.wait(Some(Duration::ZERO)), None);
        orders.give(Order::Later);
        orders.give(Order::Look);
        assert_eq!(receiver.wait(None), Some(Order::Look));
        assert_eq!(receiver.take(), None);
        drop(orders);
        assert_eq!(receiver.wait(None), Some(Order::Stop));
    }
}
