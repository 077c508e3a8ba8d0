//! A server of HTTP that does as a test says, for each request.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// How many requests there were before.
    pub(crate) number: usize,
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    /// The SHA-256 of the body, as it was signed.
    pub(crate) signed_sha256: Option<String>,
    /// Who asks.
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
    range: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// The range that was asked for, of this object.
    Object(Object),
    /// The same, but the connection ends in the middle of the bytes.
    Dropped(Object),
    /// The object as a whole, whatever was asked for.
    Whole(Object),
    /// A status and a text.
    Status(u16, &'static str),
    /// The same, with a date of the server.
    StatusAt(u16, &'static str, &'static str),
    /// The connection ends, and nothing is answered.
    Nothing,
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) etag: Option<&'static str>,
    pub(crate) modified: &'static str,
}

impl Object {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let modified = "Thu, 01 Jan 2026 00:00:00 GMT";
        Self { bytes: Arc::new(bytes), etag: Some("\"one\""), modified }
    }
}

impl Request {
    /// The range of an object of this length.
    pub(crate) fn range(&self, length: usize) -> Option<Range<usize>> {
        let (start, end) = self.range.as_ref()?.strip_prefix("bytes=")?.split_once('-')?;
        if start.is_empty() {
            return Some(length.saturating_sub(end.parse().ok()?)..length);
        }
        Some(start.parse().ok()?..(end.parse::<usize>().ok()? + 1).min(length))
    }
}

/// The server. Its threads end with the process.
pub(crate) struct HttpServer {
    pub(crate) address: String,
    /// The ranges that were answered.
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
}

impl HttpServer {
    /// Starts one whose answers `script` decides.
    pub(crate) fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (script, kept) = (Arc::new(script), Arc::clone(&requests));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (script, kept) = (Arc::clone(&script), Arc::clone(&kept));
                thread::spawn(move || serve(connection.unwrap(), &*script, &kept));
            }
        });
        Self { address, requests }
    }

    /// The same, with the object at each path of this name, and nothing else.
    pub(crate) fn of(name: &'static str, object: Object) -> Self {
        Self::start(move |request| match request.path.ends_with(name) {
            true => Reply::Object(object.clone()),
            false => Reply::Status(404, ""),
        })
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/cores/{name}", self.address)
    }

    pub(crate) fn request_count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Answers one connection until it ends. What goes wrong is the client's to report.
fn serve(stream: TcpStream, script: &dyn Fn(&Request) -> Reply, kept: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(mut request) = receive(&mut reader) {
        {
            let mut kept = kept.lock().unwrap();
            request.number = kept.len();
            kept.push(request.clone());
        }
        let reply = script(&request);
        let (object, whole, dropped) = match reply {
            Reply::Object(object) => (object, false, false),
            Reply::Dropped(object) => (object, false, true),
            Reply::Whole(object) => (object, true, false),
            Reply::Nothing => return,
            Reply::Status(status, text) | Reply::StatusAt(status, text, _) => {
                let length = text.len();
                let date = match reply {
                    Reply::StatusAt(_, _, date) => format!("Date: {date}\r\n"),
                    _ => String::new(),
                };
                let head =
                    format!("HTTP/1.1 {status} No\r\n{date}Content-Length: {length}\r\n\r\n{text}");
                if writer.write_all(head.as_bytes()).is_err() {
                    return;
                }
                continue;
            }
        };
        let length = object.bytes.len();
        let range = if whole { None } else { request.range(length) };
        let etag = object.etag.map_or_else(String::new, |etag| format!("ETag: {etag}\r\n"));
        let (status, range, content_range) = match range {
            Some(range) => {
                let last = range.end - 1;
                let line = format!("Content-Range: bytes {}-{last}/{length}\r\n", range.start);
                ("206 Partial Content", range, line)
            }
            None => ("200 OK", 0..length, String::new()),
        };
        let bytes = &object.bytes[range];
        let modified = object.modified;
        let head = format!(
            "HTTP/1.1 {status}\r\n{etag}{content_range}Last-Modified: {modified}\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        let bytes = if request.method == "HEAD" { &[] } else { bytes };
        let bytes = if dropped { &bytes[..bytes.len() / 2] } else { bytes };
        let sent = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(bytes));
        if sent.is_err() || dropped {
            return;
        }
    }
}

pub(crate) fn receive(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = reader.by_ref().lines();
    let first = lines.next()?.ok()?;
    let (method, path) = first.split_once(' ')?;
    let (method, path) = (method.to_owned(), path.split(' ').next()?.to_owned());
    let mut request = Request {
        number: 0,
        method,
        path,
        if_match: None,
        if_none_match: None,
        signed_sha256: None,
        authorization: None,
        body: Vec::new(),
        range: None,
    };
    let mut length = 0;
    loop {
        let line = lines.next()?.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "if-match" => request.if_match = Some(value.trim().to_owned()),
            "if-none-match" => request.if_none_match = Some(value.trim().to_owned()),
            // Google's word for the same.
            "x-goog-if-generation-match" if value.trim() == "0" => {
                request.if_none_match = Some("*".to_owned());
            }
            "x-amz-content-sha256" => request.signed_sha256 = Some(value.trim().to_owned()),
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            "range" => request.range = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}
