//! A server with as much of S3 as a push needs, which can be made to do wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::http_server::{HttpServer, Object, Reply, Request};

/// What it has, and what it does wrong.
#[derive(Default)]
pub(crate) struct Faults {
    /// If-None-Match is ignored.
    pub(crate) ignores_conditions: AtomicBool,
    /// How many more parts are taken before each is refused; 0 for all of them are taken.
    pub(crate) parts_until_refusal: AtomicUsize,
    /// With what the others are refused.
    pub(crate) refusal: Mutex<Option<(u16, &'static str)>>,
    /// The answer to a finished upload is lost: it is refused, and made nevertheless.
    pub(crate) loses_answer: AtomicBool,
    /// Each whole core is stored with another last byte.
    pub(crate) damages: AtomicBool,
    /// The same, with another byte in the middle.
    pub(crate) damages_middle: AtomicBool,
    /// What is received is not compared with its checksum.
    pub(crate) checks_nothing: AtomicBool,
    /// The objects and parts that were written a moment ago; all others were long ago. Uploads are
    /// by their objects' names.
    pub(crate) recent: Mutex<BTreeSet<String>>,
    pub(crate) uploads: Mutex<BTreeSet<String>>,
    /// Nobody may list uploads.
    pub(crate) hides_uploads: AtomicBool,
    /// How many requests there were that write.
    pub(crate) writes: AtomicUsize,
    /// The one of them that gets no answer; 0 for none. It is acted on before, or never, and so is
    /// that at which the server ends.
    pub(crate) stops_at: AtomicUsize,
    pub(crate) stops_after_it: AtomicBool,
    pub(crate) is_stopped: AtomicBool,
    /// How many names a page of a list has; 0 for all in one.
    pub(crate) page: AtomicUsize,
    /// After each page of a list, an entry comes, and what begins with `gone-` goes.
    pub(crate) is_changing: AtomicBool,
    /// The one of them at which the server ends; it starts again when the test says so.
    pub(crate) dies_at: AtomicUsize,
    pub(crate) is_down: AtomicBool,
    /// How long each request waits.
    pub(crate) delay: Mutex<Duration>,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    parts: Mutex<BTreeMap<(String, usize), Vec<u8>>>,
    pub(crate) parts_taken: AtomicUsize,
}

pub(crate) struct FakeBucket {
    pub(crate) server: HttpServer,
    pub(crate) faults: Arc<Faults>,
}

impl FakeBucket {
    pub(crate) fn start() -> Self {
        let faults: Arc<Faults> = Arc::default();
        let shared = Arc::clone(&faults);
        Self { server: HttpServer::start(move |request| shared.answer(request)), faults }
    }

    pub(crate) fn variables(&self) -> [(&str, &str); 3] {
        [
            ("AWS_ENDPOINT_URL", &self.server.address),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "TOPSECRET"),
        ]
    }

    /// The object at this key, below the bucket.
    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.faults.objects.lock().unwrap().get(&format!("/{key}")).cloned()
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.faults.objects.lock().unwrap().insert(format!("/{key}"), bytes.to_vec());
    }

    /// How many lists were asked for, which are forgotten.
    pub(crate) fn lists(&self) -> usize {
        let mut requests = self.server.requests.lock().unwrap();
        let count = requests.iter().filter(|one| one.path.contains("list-type=2")).count();
        requests.clear();
        count
    }

    pub(crate) fn remove(&self, key: &str) {
        self.faults.objects.lock().unwrap().remove(&format!("/{key}"));
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let objects = self.faults.objects.lock().unwrap();
        objects.keys().map(|key| key.trim_start_matches('/').to_owned()).collect()
    }
}

fn stored() -> Reply {
    Reply::Object(Object::new(Vec::new()))
}

fn xml(text: String) -> Reply {
    Reply::Status(200, Box::leak(text.into_boxed_str()))
}

fn unescaped(path: &str) -> String {
    let mut parts = path.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (digits, rest) = part.split_at(2);
        text + &char::from(u8::from_str_radix(digits, 16).unwrap()).to_string() + rest
    })
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// A value of a query.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let byte = u8::from_str_radix(&part[..2], 16).unwrap();
        text + char::from(byte).encode_utf8(&mut [0; 4]) + &part[2..]
    })
}

impl Faults {
    fn answer(&self, request: &Request) -> Reply {
        thread::sleep(*self.delay.lock().unwrap());
        if self.is_down.load(Ordering::Relaxed) {
            return Reply::Nothing;
        }
        if matches!(request.method.as_str(), "GET" | "HEAD") {
            return self.act(request);
        }
        let number = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        let stops = self.stops_at.load(Ordering::Relaxed) == number;
        let dies = self.dies_at.load(Ordering::Relaxed) == number;
        let acts = self.stops_after_it.load(Ordering::Relaxed);
        if dies {
            self.is_down.store(true, Ordering::Relaxed);
            if acts {
                self.act(request);
            }
            return Reply::Nothing;
        }
        if stops && !acts {
            self.stop();
            return Reply::Status(503, "");
        }
        let reply = self.act(request);
        if stops {
            self.stop();
        }
        reply
    }

    /// Waits until the test goes on.
    fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        while self.stops_at.load(Ordering::Relaxed) != 0 {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn act(&self, request: &Request) -> Reply {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        // Google's client escapes all of a name, slashes, too.
        let path = if path.contains("%2F") { unescaped(path) } else { path.replace("%3D", "=") };
        let path = path.as_str();
        match request.method.as_str() {
            "GET" if query.contains("list-type=2") => self.list(path, query),
            "GET" if query.starts_with("uploads") && self.hides_uploads.load(Ordering::Relaxed) => {
                Reply::Status(403, "<Error><Code>AccessDenied</Code></Error>")
            }
            "GET" if query.starts_with("uploads") => self.list_uploads(path),
            "GET" if query.contains("uploadId=") => self.list_parts(path),
            "GET" | "HEAD" => match self.objects.lock().unwrap().get(path) {
                Some(bytes) => Reply::Object(Object::new(bytes.clone())),
                None => Reply::Status(404, ""),
            },
            "PUT" if !self.checks_nothing.load(Ordering::Relaxed) && !is_whole(request) => {
                Reply::Status(400, "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>")
            }
            "PUT" if query.contains("partNumber") => self.part(path, query, &request.body),
            "PUT" => {
                let mut objects = self.objects.lock().unwrap();
                let conditional = request.if_none_match.is_some();
                let keeps = !self.ignores_conditions.load(Ordering::Relaxed);
                if conditional && keeps && objects.contains_key(path) {
                    return Reply::Status(412, "");
                }
                objects.insert(path.to_owned(), request.body.clone());
                stored()
            }
            "POST" if query.starts_with("uploads") => {
                self.uploads.lock().unwrap().insert(path.to_owned());
                xml(format!(
                    "<InitiateMultipartUploadResult><UploadId>one</UploadId><Key>{path}</Key></InitiateMultipartUploadResult>"
                ))
            }
            "POST" if query.starts_with("delete") => {
                let text = String::from_utf8_lossy(&request.body).into_owned();
                let keys =
                    text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
                for key in keys {
                    self.objects
                        .lock()
                        .unwrap()
                        .remove(&format!("{}/{key}", path.trim_end_matches('/')));
                }
                xml("<DeleteResult><Deleted><Key>any</Key></Deleted></DeleteResult>".to_owned())
            }
            "POST" => self.finish(path),
            "DELETE" if query.contains("uploadId=") => {
                self.parts.lock().unwrap().retain(|(of, _), _| of != path);
                match self.uploads.lock().unwrap().remove(path) {
                    true => Reply::Status(204, ""),
                    false => Reply::Status(404, "<Error><Code>NoSuchUpload</Code></Error>"),
                }
            }
            "DELETE" => {
                self.objects.lock().unwrap().remove(path);
                Reply::Status(204, "")
            }
            _ => Reply::Status(405, ""),
        }
    }

    fn part(&self, path: &str, query: &str, body: &[u8]) -> Reply {
        let left = self.parts_until_refusal.load(Ordering::Relaxed);
        if let Some((status, text)) = *self.refusal.lock().unwrap() {
            if left <= 1 {
                return Reply::Status(status, text);
            }
            self.parts_until_refusal.store(left - 1, Ordering::Relaxed);
        }
        if !self.uploads.lock().unwrap().contains(path) {
            return Reply::Status(404, "<Error><Code>NoSuchUpload</Code></Error>");
        }
        let number = parameter(query, "partNumber").unwrap().parse().unwrap();
        self.parts.lock().unwrap().insert((path.to_owned(), number), body.to_vec());
        self.parts_taken.fetch_add(1, Ordering::Relaxed);
        stored()
    }

    fn finish(&self, path: &str) -> Reply {
        let mut parts = self.parts.lock().unwrap();
        let of_this: Vec<_> = parts.keys().filter(|(of, _)| of == path).cloned().collect();
        if of_this.is_empty() {
            return Reply::Status(404, "<Error><Code>NoSuchUpload</Code></Error>");
        }
        let mut bytes: Vec<u8> =
            of_this.iter().filter_map(|part| parts.remove(part)).flatten().collect();
        if self.damages.load(Ordering::Relaxed) {
            *bytes.last_mut().unwrap() ^= 1;
        }
        if self.damages_middle.load(Ordering::Relaxed) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        self.uploads.lock().unwrap().remove(path);
        self.objects.lock().unwrap().insert(path.to_owned(), bytes);
        if self.loses_answer.swap(false, Ordering::Relaxed) {
            return Reply::Status(403, "<Error><Code>Lost</Code></Error>");
        }
        xml("<CompleteMultipartUploadResult><ETag>\"one\"</ETag></CompleteMultipartUploadResult>"
            .to_owned())
    }

    /// A page, as S3 has it.
    fn list_page(&self, bucket: &str, query: &str, most: usize) -> Reply {
        let bucket = format!("{}/", bucket.trim_end_matches('/'));
        let value = |name: &str| parameter(query, name).map(decoded);
        let prefix = bucket.clone() + &value("prefix").unwrap_or_default();
        let after = value("continuation-token").or_else(|| value("start-after"));
        let after = after.map_or_else(String::new, |after| bucket.clone() + &after);
        let folders = query.contains("delimiter=");
        let mut objects = self.objects.lock().unwrap();
        let (mut text, mut count) = ("<ListBucketResult>".to_owned(), 0);
        let mut last = String::new();
        let start = match after < prefix {
            true => Bound::Included(prefix.clone()),
            false => Bound::Excluded(after.clone()),
        };
        for (key, bytes) in objects.range((start, Bound::Unbounded)) {
            let Some(rest) = key.strip_prefix(&prefix) else { break };
            let folder = rest.find('/').filter(|_| folders).map(|at| &key[..=prefix.len() + at]);
            let listed = folder.unwrap_or(key);
            if last == listed || (folder.is_some() && after.starts_with(listed)) {
                continue;
            }
            if count == most {
                let token = &last[bucket.len()..];
                let _ = write!(text, "<NextContinuationToken>{token}</NextContinuationToken>");
                break;
            }
            (count, last) = (count + 1, listed.to_owned());
            let shown = &listed[bucket.len()..];
            let _ = match folder {
                Some(_) => {
                    write!(text, "<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>")
                }
                None => write!(
                    text,
                    "<Contents><Key>{shown}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>{}</Size></Contents>",
                    bytes.len()
                ),
            };
        }
        if self.is_changing.load(Ordering::Relaxed) {
            let new = objects.len();
            objects.retain(|key, _| !key.contains("/gone-"));
            objects.insert(
                format!("{bucket}cores/aaa{new}/20260101T000000Z-new/report.json"),
                b"-".to_vec(),
            );
        }
        xml(text + "</ListBucketResult>")
    }

    fn list(&self, bucket: &str, query: &str) -> Reply {
        let most = self.page.load(Ordering::Relaxed);
        if most > 0 {
            return self.list_page(bucket, query, most);
        }
        let bucket = format!("{}/", bucket.trim_end_matches('/'));
        let prefix = parameter(query, "prefix").unwrap_or_default().replace("%2F", "/");
        let mut text = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
        for (key, bytes) in &*self.objects.lock().unwrap() {
            let Some(key) = key.strip_prefix(&bucket).filter(|key| key.starts_with(&prefix)) else {
                continue;
            };
            let _ = write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>{}</LastModified><ETag>\"one\"</ETag><Size>{}</Size></Contents>",
                self.written(key),
                bytes.len()
            );
        }
        xml(text + "</ListBucketResult>")
    }

    /// When what has this name was written.
    fn written(&self, name: &str) -> String {
        let recent = self.recent.lock().unwrap();
        match recent.iter().any(|recent| name.ends_with(recent.as_str())) {
            true => jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            false => "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn list_uploads(&self, bucket: &str) -> Reply {
        let bucket = format!("{}/", bucket.trim_end_matches('/'));
        let mut text = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>".to_owned();
        for path in &*self.uploads.lock().unwrap() {
            let Some(key) = path.strip_prefix(&bucket) else { continue };
            let _ = write!(
                text,
                "<Upload><Key>{key}</Key><UploadId>one</UploadId><Initiated>2026-01-01T00:00:00Z</Initiated></Upload>"
            );
        }
        xml(text + "</ListMultipartUploadsResult>")
    }

    fn list_parts(&self, path: &str) -> Reply {
        let mut text = "<ListPartsResult><IsTruncated>false</IsTruncated>".to_owned();
        for (of, number) in self.parts.lock().unwrap().keys().filter(|(of, _)| of == path) {
            let _ = write!(
                text,
                "<Part><PartNumber>{number}</PartNumber><LastModified>{}</LastModified></Part>",
                self.written(of)
            );
        }
        xml(text + "</ListPartsResult>")
    }
}

/// Whether the body is the one that was signed.
fn is_whole(request: &Request) -> bool {
    let found: String =
        Sha256::digest(&request.body).iter().map(|byte| format!("{byte:02x}")).collect();
    request.signed_sha256.as_ref().is_none_or(|signed| *signed == found)
}
