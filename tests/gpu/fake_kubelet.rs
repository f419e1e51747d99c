//! A kubelet on a unix socket that answers as a test tells it: HTTP/2 without TLS, gRPC by hand.

use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// `v1.ListPodResourcesResponse`, as Kubernetes' `api.proto` has it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListPodResourcesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) pod_resources: Vec<PodResources>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodResources {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) namespace: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) containers: Vec<ContainerResources>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerResources {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) devices: Vec<ContainerDevices>,
    #[prost(int64, repeated, tag = "3")]
    pub(crate) cpu_ids: Vec<i64>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) dynamic_resources: Vec<DynamicResource>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerDevices {
    #[prost(string, tag = "1")]
    pub(crate) resource_name: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) device_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DynamicResource {
    #[prost(string, tag = "2")]
    pub(crate) claim_name: String,
    #[prost(string, tag = "3")]
    pub(crate) claim_namespace: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) claim_resources: Vec<ClaimResource>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ClaimResource {
    #[prost(string, tag = "2")]
    pub(crate) driver_name: String,
    #[prost(string, tag = "3")]
    pub(crate) pool_name: String,
    #[prost(string, tag = "4")]
    pub(crate) device_name: String,
}

/// A container with devices of one resource, and one pod for each.
pub(crate) fn pod(
    namespace: &str,
    name: &str,
    container: &str,
    resource: &str,
    ids: &[&str],
) -> PodResources {
    let devices = ContainerDevices {
        resource_name: resource.to_owned(),
        device_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let container = ContainerResources {
        name: container.to_owned(),
        devices: vec![devices],
        cpu_ids: vec![0, 1, 64],
        dynamic_resources: Vec::new(),
    };
    PodResources { name: name.to_owned(), namespace: namespace.to_owned(), containers: vec![container] }
}

/// What it says to the next calls.
#[derive(Clone)]
pub(crate) enum Say {
    /// These pods.
    Pods(Vec<PodResources>),
    /// A status other than OK.
    Refuse(&'static str, &'static str),
    /// Bytes behind the head, with status OK: framed by the test.
    Bytes(Bytes),
    /// An HTTP status, as a web server at the socket would.
    Http(u16),
    /// Nothing, for ever.
    Hang,
}

/// A kubelet, while the value lives.
pub(crate) struct FakeKubelet {
    folder: TempDir,
    say: Arc<Mutex<Say>>,
    calls: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl FakeKubelet {
    pub(crate) fn new(say: Say) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut kubelet =
            Self { folder, say: Arc::new(Mutex::new(say)), calls: Arc::default(), runtime: None };
        kubelet.come_back();
        kubelet
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("kubelet.sock")
    }

    pub(crate) fn says(&self, say: Say) {
        *self.say.lock().expect("no test panics with it") = say;
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// Ends all connections and removes the socket.
    pub(crate) fn go(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
        std::fs::remove_file(self.socket()).expect("the socket is there");
    }

    pub(crate) fn come_back(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let (socket, say, calls) = (self.socket(), Arc::clone(&self.say), Arc::clone(&self.calls));
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&socket).expect("the socket can be made")
        };
        runtime.spawn(serve(listener, say, calls));
        self.runtime = Some(runtime);
    }
}

async fn serve(listener: UnixListener, say: Arc<Mutex<Say>>, calls: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = listener.accept().await.expect("the socket listens");
        let (say, calls) = (Arc::clone(&say), Arc::clone(&calls));
        let service = service_fn(move |request: Request<Incoming>| {
            let said = say.lock().expect("no test panics with it").clone();
            calls.fetch_add(1, SeqCst);
            answer(request, said)
        });
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // Whoever asked may be gone.
            let _ = connection.await;
        });
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, say: Say) -> Result<Response<Body>, Infallible> {
    let is_list = request.uri().path() == "/v1.PodResourcesLister/List";
    let is_grpc = request.headers().get("content-type").is_some_and(|value| value == "application/grpc")
        && request.headers().get("te").is_some_and(|value| value == "trailers");
    let asked = request.into_body().collect().await.map(|body| body.to_bytes());
    // An empty message, uncompressed.
    if !is_list || !is_grpc || asked.is_ok_and(|asked| asked[..] != [0; 5]) {
        return Ok(with_status(Response::new(Full::new(Bytes::new()).boxed()), "12", "unknown service"));
    }
    Ok(match say {
        Say::Pods(pod_resources) => {
            let message = ListPodResourcesResponse { pod_resources }.encode_to_vec();
            stream(framed(&message))
        }
        Say::Bytes(bytes) => stream(bytes),
        Say::Refuse(code, message) => {
            with_status(Response::new(Full::new(Bytes::new()).boxed()), code, message)
        }
        Say::Http(status) => {
            let mut response = Response::new(Full::new(Bytes::from_static(b"no")).boxed());
            *response.status_mut() = status.try_into().expect("it is a status");
            response
        }
        Say::Hang => std::future::pending().await,
    })
}

fn with_status(mut response: Response<Body>, code: &'static str, message: &'static str) -> Response<Body> {
    response.headers_mut().insert("grpc-status", HeaderValue::from_static(code));
    response.headers_mut().insert("grpc-message", HeaderValue::from_static(message));
    response
}

/// A message behind its flag and length.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message.len()).expect("a test's message is short").to_be_bytes());
    bytes.extend_from_slice(message);
    Bytes::from(bytes)
}

/// In pieces, with the status behind them.
fn stream(bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Pieces { rest: bytes, is_over: false }.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

struct Pieces {
    rest: Bytes,
    is_over: bool,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.rest.is_empty() {
            let len = self.rest.len().min(16_000);
            return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))));
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let was_over = std::mem::replace(&mut self.is_over, true);
        Poll::Ready((!was_over).then(|| Ok(Frame::trailers(trailers))))
    }
}
