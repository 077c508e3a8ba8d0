//! The file system: one directory, a few files, nothing that can be written.
//!
//! ```text
//! inode 1       the directory
//! inode 2 + n   file n of the contents
//! ```

use std::ffi::OsStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request,
};

use super::contents::{Contents, FileContent};

/// How long the kernel may keep what it knows: nothing changes while it is mounted.
const FOREVER: Duration = Duration::from_secs(1 << 30);
const BLOCK: u32 = 4096;
/// What `st_blocks` counts in.
const SECTOR: u64 = 512;
/// The longest read that is answered, in bytes. The kernel asks for 1 MiB at most.
const MAX_READ: u64 = 16 << 20;
/// How many units can be read at once, each by one thread.
const GATES: usize = 16;

/// A core as a file system.
#[derive(Debug)]
pub(super) struct CoreFilesystem {
    contents: Contents,
    /// One thread at a time unpacks a unit of the core. The kernel reads ahead in pieces
    /// that lie in one chunk, and each of them would unpack all of it.
    gates: [Mutex<()>; GATES],
    user: (u32, u32),
}

impl CoreFilesystem {
    /// A file system of these files, which belong to the user who mounts it.
    pub(super) fn new(contents: Contents) -> Self {
        let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { contents, gates: [const { Mutex::new(()) }; GATES], user }
    }

    fn file(&self, inode: INodeNo) -> Option<&FileContent> {
        let index = inode.0.checked_sub(2).and_then(|index| usize::try_from(index).ok())?;
        self.contents.files.get(index)
    }

    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let folder = inode == INodeNo::ROOT;
        let (size, stored) = match self.file(inode) {
            Some(file) => (file.bytes.length(), file.stored),
            None if folder => (0, 0),
            None => return None,
        };
        let time = self.contents.modified;
        Some(FileAttr {
            ino: inode,
            size,
            blocks: stored.div_ceil(SECTOR),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: if folder { FileType::Directory } else { FileType::RegularFile },
            perm: if folder { 0o500 } else { 0o400 },
            nlink: if folder { 2 } else { 1 },
            uid: self.user.0,
            gid: self.user.1,
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        })
    }

    /// Bytes of a file: fewer at its end, none behind it.
    fn bytes(&self, inode: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let file = self.file(inode).ok_or(Errno::ENOENT)?;
        let left = file.bytes.length().saturating_sub(offset);
        let length = u64::from(size).min(left).min(MAX_READ);
        let mut buffer = vec![0; usize::try_from(length).map_err(|_| Errno::EINVAL)?];
        let unit = file.bytes.unit_end(offset) >> 20;
        let gate = usize::try_from(unit).unwrap_or_default().checked_rem(GATES);
        let gate = gate.and_then(|index| self.gates.get(index)).ok_or(Errno::EIO)?;
        let _turn = gate.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever is missing: the reader learns that it is, and gets no invented bytes.
        file.bytes.read(offset, &mut buffer).map_err(|_| Errno::EIO)?;
        Ok(buffer)
    }
}

impl Filesystem for CoreFilesystem {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let names = self.contents.files.iter().zip(2..);
        let inode = names.filter(|_| parent == INodeNo::ROOT).find(|(file, _)| file.name == name);
        match inode.and_then(|(_, inode)| self.attributes(INodeNo(inode))) {
            Some(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&FOREVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.file(inode) {
            _ if flags.acc_mode() != OpenAccMode::O_RDONLY => reply.error(Errno::EROFS),
            Some(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            None => reply.error(Errno::EISDIR),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.bytes(inode, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if inode != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        let folders = [(1, FileType::Directory, "."), (1, FileType::Directory, "..")];
        let files = self.contents.files.iter().zip(2..);
        let files = files.map(|(file, inode)| (inode, FileType::RegularFile, file.name));
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (next, (inode, kind, name)) in (1..).zip(folders.into_iter().chain(files)).skip(skip) {
            if reply.add(INodeNo(inode), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
