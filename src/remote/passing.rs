//! A file of one process that the other one has open, too: its descriptor comes with one byte
//! through the socket.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends a byte, and a file with it.
pub(super) fn send(socket: impl AsFd, file: BorrowedFd<'_>) -> io::Result<()> {
    let files = [file];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    let byte = [IoSlice::new(&[0])];
    match retry_on_intr(|| sendmsg(&socket, &byte, &mut control, SendFlags::NOSIGNAL))? {
        0 => Err(ErrorKind::WriteZero.into()),
        _ => Ok(()),
    }
}

/// Receives a byte, and the file that comes with it.
#[cfg(any(feature = "remote", test))]
pub(super) fn receive(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    // The other process has ended, or sent none.
    file.ok_or_else(|| ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_file_that_was_received_is_the_one_that_was_sent() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        ours.write_all(b"head").unwrap();
        send(&ours, file.as_fd()).unwrap();
        ours.write_all(b"next").unwrap();
        theirs.read_exact(&mut [0; 4]).unwrap();
        let received = receive(&theirs).unwrap();
        theirs.read_exact(&mut [0; 4]).unwrap();
        File::from(received).write_all(b"text").unwrap();
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }

    #[test]
    fn a_byte_without_a_file_is_an_error() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"x").unwrap();
        assert!(receive(&theirs).is_err());
        drop(ours);
        assert!(receive(&theirs).is_err());
    }
}
