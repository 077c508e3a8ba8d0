//! How many bytes a processor encrypts and decrypts in a second, in the age format: by this program,
//! and by the age crate alone. Prints a table; asserts nothing but that both give the same.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement for people"
)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use vmcorectl::corefile::read::bytes::Bytes;
use vmcorectl::corefile::write::CoreSink;
use vmcorectl::encryption::identities::{Ask, Nobody};
use vmcorectl::encryption::{AgeFile, EncryptedSink, Recipients, SealedHeader, seal};

/// As long as a compressed chunk of a core is about.
const PIECE: usize = 400 << 10;
const PIECES: usize = 512;

/// Prints how fast `work` goes through all pieces.
fn measure(what: &str, work: impl FnOnce()) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let started = now();
    work();
    let seconds = now() - started;
    let megabytes = (PIECE * PIECES) as f64 / 1e6;
    println!("{what:<40} {:>6.0} MB/s", megabytes / seconds);
}

fn main() {
    let piece: Vec<u8> =
        (0_u32..).take(PIECE).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let identity = age::x25519::Identity::generate();
    let nobody: Arc<dyn Ask> = Arc::new(Nobody);
    let recipients = Recipients::of(&[identity.to_public().to_string()], &nobody).unwrap();
    let header = SealedHeader::new(&recipients).unwrap();
    let nowhere = || File::options().read(true).write(true).open("/dev/null").unwrap();

    measure("encrypt, this program's sink", || {
        let mut sink = EncryptedSink::begin(nowhere(), header.clone()).unwrap();
        (0..PIECES).for_each(|_| sink.write_all(&piece).unwrap());
        sink.finish().unwrap();
    });
    measure("encrypt, the age crate's writer", || {
        let recipient = identity.to_public();
        let encryptor =
            age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
        let mut writer = encryptor.unwrap().wrap_output(nowhere()).unwrap();
        (0..PIECES).for_each(|_| writer.write_all(&piece).unwrap());
        writer.finish().unwrap();
    });

    let whole = piece.repeat(PIECES);
    let sealed = Arc::new(seal(&header, &whole).unwrap());
    measure("decrypt, this program's reader", || {
        let file = AgeFile::with_key(Arc::<Vec<u8>>::clone(&sealed), header.key()).unwrap();
        let mut buffer = vec![0; PIECE];
        for number in 0..PIECES {
            file.read((number * PIECE) as u64, &mut buffer).unwrap();
        }
        assert!(buffer == piece);
    });
    measure("decrypt, the age crate's reader", || {
        let decryptor = age::Decryptor::new(sealed.as_slice()).unwrap();
        let mut reader =
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).unwrap();
        let mut buffer = vec![0; PIECE];
        for _ in 0..PIECES {
            reader.read_exact(&mut buffer).unwrap();
        }
        assert!(buffer == piece);
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 0);
    });
}
