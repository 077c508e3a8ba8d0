//! Which question is answered by what.

use super::objects::{Failed, Objects};
use crate::remote::wire::{Ask, Outcome};

/// Answers a question. Only those that write have bytes.
pub(super) async fn answer(objects: &Objects, ask: Ask, body: Vec<u8>) -> (Outcome, Vec<u8>) {
    let answered = match ask {
        Ask::Root { .. } => Err("the address is set once".to_owned().into()),
        Ask::File => Err("a file comes with its question".to_owned().into()),
        Ask::Fill { object, offset, length } => objects.fill(object, offset, length).await,
        Ask::Open { name, tail } => objects.open(&name, tail).await,
        Ask::OpenStart { name, bytes } => objects.open_start(&name, bytes).await,
        Ask::Read { object, offset, length } => objects.read(object, offset, length).await,
        Ask::End { name, bytes } => objects.end(&name, bytes).await,
        Ask::List(page) => objects.page(page).await,
        Ask::Uploads { below, seconds } => objects.idle_uploads(&below, seconds).await,
        Ask::Checks => objects.checks().await,
        Ask::Get { name, most } => objects.get(&name, most).await,
        Ask::Put { name, new: true } => objects.put_new(&name, body).await,
        Ask::Put { name, new: false } => objects.put(&name, body).await,
        Ask::Delete { name } => objects.delete(&name).await,
        Ask::Begin { name } => objects.begin(&name).await,
        Ask::Part { name, upload, number } => objects.part(&name, upload, number, body).await,
        Ask::Finish { name, upload } => objects.finish(&name, upload, &body).await,
        Ask::Abort { name, upload } => objects.abort(&name, upload).await,
    };
    match answered {
        Ok(answer) => answer,
        Err(Failed::NotFound) => (Outcome::NotFound, Vec::new()),
        Err(Failed::Because(problem)) => {
            (Outcome::Failed { problem: objects.clock().explain(problem) }, Vec::new())
        }
    }
}
