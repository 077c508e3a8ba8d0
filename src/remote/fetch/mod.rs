//! The fetcher: has the network and the credentials, and gives bytes of what is below one address.
//!
//! It parses no memory of guests. What asks it does, and is confined: so it answers for objects
//! at and below the address that came first alone, writes only if that said so, and a question has
//! a bound.

mod answers;
mod aws_credentials;
mod aws_profile;
mod cache;
mod connection;
mod container;
mod environment;
mod filling;
mod leftovers;
mod objects;
mod pages;
mod parts;
mod reason;
mod stores;
mod uploads;
mod writes;

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use rustls::crypto::ring;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, Semaphore};

use super::passing;
use super::wire::{self, AnswerHead, Ask, MAX_BODY, MAX_HEAD, Outcome, Question};
use objects::Objects;

pub use environment::Environment;

/// How many requests there are at the same time.
const AT_ONCE: usize = 16;

/// Answers until the socket is closed.
///
/// # Errors
/// Fails if what comes through the socket is no question.
pub fn serve(socket: StdStream, environment: &Environment) -> io::Result<()> {
    // There may be one already: nothing is different then.
    let _ = ring::default_provider().install_default();
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut questions, answers) = UnixStream::from_std(socket)?.into_split();
        let answers = Arc::new(Mutex::new(answers));
        let Some(first) = next(&mut questions).await? else { return Ok(()) };
        let Ask::Root { address, writes } = &first.ask else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let objects = match Objects::new(address, *writes, environment) {
            Ok(objects) => Arc::new(objects),
            Err(problem) => {
                return answer(&answers, first.id, Outcome::Failed { problem }, &[]).await;
            }
        };
        answer(&answers, first.id, Outcome::Done, &[]).await?;
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let most = if objects.may_write() { MAX_BODY } else { 0 };
        while let Some(question) = next(&mut questions).await? {
            if matches!(question.ask, Ask::File) {
                let socket: &UnixStream = questions.as_ref();
                let file = socket.async_io(Interest::READABLE, || passing::receive(socket)).await?;
                objects.take_file(file);
                answer(&answers, question.id, Outcome::Done, &[]).await?;
                continue;
            }
            let body = body(&mut questions, question.bytes, most).await?;
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let (objects, answers) = (Arc::clone(&objects), Arc::clone(&answers));
            tokio::spawn(async move {
                // A panic of the client must not leave the other side without an answer.
                let work = async move { answers::answer(&objects, question.ask, body).await };
                let answered = tokio::spawn(work).await;
                let problem = || "the client of object storage has failed".to_owned();
                let failed = |_| (Outcome::Failed { problem: problem() }, Vec::new());
                let (outcome, bytes) = answered.unwrap_or_else(failed);
                // Who asked may have ended meanwhile.
                let _ = answer(&answers, question.id, outcome, &bytes).await;
                drop(slot);
            });
        }
        Ok(())
    })
}

/// The next question; `None` once the socket is closed.
async fn next(questions: &mut OwnedReadHalf) -> io::Result<Option<Question>> {
    let mut length = [0; 4];
    match questions.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let length = u32::from_le_bytes(length);
    if length > MAX_HEAD {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut json = vec![0; length as usize];
    questions.read_exact(&mut json).await?;
    Ok(Some(wire::decode(&json)?))
}

/// The bytes of a question, which are `most` at the most.
async fn body(questions: &mut OwnedReadHalf, bytes: u64, most: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(bytes).ok().filter(|_| bytes <= most);
    let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    questions.read_exact(&mut body).await?;
    Ok(body)
}

async fn answer(
    answers: &Mutex<OwnedWriteHalf>,
    id: u64,
    outcome: Outcome,
    bytes: &[u8],
) -> io::Result<()> {
    let head = wire::encode(&AnswerHead { id, bytes: bytes.len() as u64, outcome })?;
    let mut answers = answers.lock().await;
    answers.write_all(&head).await?;
    answers.write_all(bytes).await
}
