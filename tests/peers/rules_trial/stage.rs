//! The trial's own server: it hands out the story's metrics and takes the Alertmanager's webhooks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::story;

/// Largest body that is read.
const BODY_BYTES_MAX: usize = 16 << 20;

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// When, in milliseconds.
    pub(super) at_ms: i64,
    /// Where it was sent to: the receiver's name.
    pub(super) receiver: String,
    /// What it says.
    pub(super) body: Value,
}

/// The server; it lives as long as the process.
#[derive(Clone)]
pub(super) struct Stage {
    began: Instant,
    messages: Arc<Mutex<Vec<Message>>>,
    pub(super) port: u16,
}

impl Stage {
    /// Opens the curtain: the story begins.
    pub(super) fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let stage = Self { began: Instant::now(), messages: Arc::default(), port };
        let shared = stage.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stage = shared.clone();
                thread::spawn(move || stage.answer(stream));
            }
        });
        stage
    }

    /// Seconds since the story began.
    pub(super) fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What arrived so far.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.messages.lock().expect("nobody panics with the list").clone()
    }

    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let (target, body) = read_request(&mut reader)?;
        let page = match target.strip_prefix("/receivers/") {
            Some(receiver) => {
                let body = serde_json::from_slice(&body).expect("Alertmanager sends JSON");
                let message = Message { at_ms: now_ms(), receiver: receiver.to_owned(), body };
                self.messages.lock().expect("nobody panics with the list").push(message);
                String::new()
            }
            None => story::exposition(self.elapsed()),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            page.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(page.as_bytes()).ok()
    }
}

/// The path and the body.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut len = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = value.trim().parse().ok()?
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; Some(len).filter(|len| *len <= BODY_BYTES_MAX)?];
    reader.read_exact(&mut body).ok()?;
    Some((target, body))
}

/// The time, in milliseconds.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("the clock fits")
}
