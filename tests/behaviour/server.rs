//! A server in this process, on a port of its own, and the plainest client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use perdura::Database;
use perdura::clock::{Clock, SimulatedClock};
use perdura::http::{App, Control, HttpOptions, Readiness, Services, listen, router, serve};
use perdura::metrics::Registry;
use perdura::model::{Exemplar, Labels, Metadata, MetricType, RegexMatcher, TenantId};
use perdura::promql::{Engine, EngineOptions};
use perdura::storage::{Acceptance, Append, Batch, MemoryStore, Select};
use tokio::sync::{mpsc, watch};

/// Time that the server's clock shows, in seconds.
pub(crate) const NOW: i64 = 1_700_000_000;

/// A running server; it ends with the value.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) app: Arc<App>,
    pub(crate) control: mpsc::Receiver<Control>,
    stop: watch::Sender<bool>,
    _runtime: tokio::runtime::Runtime,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Settings of a server under test.
pub(crate) fn options() -> HttpOptions {
    HttpOptions {
        external_url: "http://localhost:9090".to_owned(),
        global_url: Default::default(),
        route_prefix: String::new(),
        cors_origin: RegexMatcher::new("http://(a|b)").expect("the pattern is sound"),
        enable_lifecycle: true,
        enable_admin_api: false,
        query_concurrency_max: 4,
        read_timeout: Duration::from_secs(5),
        connections_max: 64,
        flags: [("web.enable-lifecycle".to_owned(), "true".to_owned())].into_iter().collect(),
        per_step_stats: false,
        is_agent: false,
    }
}

/// A server over a store with a few series: `m` (a counter by job), one exemplar, metadata.
pub(crate) fn start(options: HttpOptions) -> TestServer {
    let store = Arc::new(MemoryStore::default());
    let mut batch = Batch::default();
    for (job, factor) in [("a<b", 1.0), ("c", 2.0)] {
        batch.begin_series(&Labels::from_pairs([("__name__", "m"), ("job", job), ("http.status", "ok")]));
        for step in 0..10 {
            batch.push_float((NOW - 135 + step * 15) * 1_000, 0, step as f64 * factor);
        }
    }
    batch.push_exemplar(Exemplar {
        labels: Labels::from_pairs([("trace_id", "x")]),
        value: 0.5,
        timestamp: NOW * 1_000 - 500,
    });
    let help = "Things & more.".to_owned();
    batch.push_metadata("m", Metadata { metric_type: MetricType::Counter, help, unit: String::new() });
    store.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("memory takes everything");
    start_over(options, store)
}

/// A server over a store.
pub(crate) fn start_over(options: HttpOptions, store: Arc<MemoryStore>) -> TestServer {
    start_with(options, store.clone(), store, None)
}

/// A server over a database.
pub(crate) fn start_on(options: HttpOptions, database: &Arc<Database>) -> TestServer {
    start_with(options, database.clone(), database.clone(), Some(Arc::clone(database)))
}

fn start_with(
    options: HttpOptions,
    append: Arc<dyn Append>,
    select: Arc<dyn Select>,
    database: Option<Arc<Database>>,
) -> TestServer {
    let (sender, control) = mpsc::channel(4);
    let services = Services {
        clock: Clock::Simulated(SimulatedClock::at_ms(NOW * 1_000)),
        append,
        select,
        database,
        scrape: None,
        notifier: None,
        rules: None,
        engine: Engine::new(EngineOptions::default()),
        registry: Arc::new(Registry::default()),
        control: sender,
        settings: Arc::default(),
    };
    let app = App::new(options, services);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let listener = runtime.block_on(listen("127.0.0.1:0")).expect("a port is free");
    let address = listener.local_addr().expect("the listener has an address");
    let (stop, stopping) = watch::channel(false);
    runtime.spawn(serve(vec![listener], router(&app), app.options.connections_max, stopping));
    app.set_readiness(Readiness::Ready);
    TestServer { address, app, control, stop, _runtime: runtime }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends bytes and reads all that comes back.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit can be set");
    stream.write_all(request).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers and closes");
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head ends");
    let head = String::from_utf8(answer[..split].to_vec()).expect("a head is text");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = &answer[split + 4..];
    Reply { status, head, body: if is_chunked { unchunk(body) } else { body.to_vec() } }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk has a size");
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.expect("a size is hexadecimal");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
}

impl TestServer {
    /// Begins the server's end.
    pub(crate) fn stop_accepting(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        exchange(self.address, &request)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, "", b"")
    }

    pub(crate) fn post_form(&self, path: &str, form: &str) -> Reply {
        self.request("POST", path, "Content-Type: application/x-www-form-urlencoded\r\n", form.as_bytes())
    }
}
