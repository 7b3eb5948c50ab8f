//! The HTTP client of each runtime, and what its errors mean.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tower::Service;

use super::wire::{Turn, Wire};

/// Axons close a connection that was idle for 5 s; ours must be the shorter patience.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// Idle connections kept to one peer by one runtime, for as long as [`POOL_IDLE`]: fewer than a busy server has in flight, and
/// every further request would open one of its own.
const MAX_IDLE: usize = 1024;
/// The largest head of an answer, in bytes.
const HEAD_LIMIT: u32 = 64 * 1024;
/// Clients of one runtime: one for each connect deadline in the configurations of late.
const MAX_CLIENTS: usize = 16;

type Http = Client<Connector, Full<Bytes>>;

/// How to reach a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Means {
    /// How long a connection may take, TLS and all.
    pub(super) connect: Duration,
    /// Whether TLS is spoken.
    pub(super) tls: bool,
    /// Whether a pooled connection will do.
    pub(super) reuse: bool,
}

/// Why no head came back.
#[derive(Debug)]
pub(super) enum SendError {
    /// A reused connection died without a byte of an answer: another send, signed anew, is in order.
    Stale,
    /// No connection.
    Connect,
    /// No connection within [`Means::connect`].
    ConnectTimeout,
    /// The connection died.
    Died,
    /// The answer is no HTTP, or its head is too large.
    NotHttp,
    /// A client that speaks TLS cannot be made.
    NoTls,
}

/// Sends a request and returns the head of its answer. Dropping the future, or later the body, closes the connection.
pub(super) async fn send(means: Means, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
    let http = client(means)?;
    http.request(request).await.map_err(|error| {
        let failed = judge(&error);
        tracing::debug!(error = %chain(&error), ?failed, "no answer");
        failed
    })
}

thread_local! {
    /// A pool belongs to the runtime whose tasks drive its connections, and the runtimes have one thread each.
    static CLIENTS: RefCell<Clients> = const { RefCell::new(Clients { runtime: None, known: Vec::new() }) };
}

struct Clients {
    runtime: Option<Id>,
    known: Vec<(Means, Http)>,
}

fn client(means: Means) -> Result<Http, SendError> {
    let runtime = Handle::try_current().map_err(|_| SendError::Connect)?.id();
    let known = CLIENTS.try_with(|clients| clients.borrow_mut().find(runtime, means));
    match known {
        Ok(found) => found,
        Err(_) => build(means),
    }
}

impl Clients {
    fn find(&mut self, runtime: Id, means: Means) -> Result<Http, SendError> {
        if self.runtime != Some(runtime) {
            self.runtime = Some(runtime);
            self.known.clear();
        }
        if let Some((_, http)) = self.known.iter().find(|(known, _)| *known == means) {
            return Ok(http.clone());
        }
        if self.known.len() >= MAX_CLIENTS {
            self.known.remove(0);
        }
        let http = build(means)?;
        self.known.push((means, http.clone()));
        Ok(http)
    }
}

fn build(means: Means) -> Result<Http, SendError> {
    let connector = Connector::new(means)?;
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(if means.reuse { MAX_IDLE } else { 0 })
        .http1_max_buf_size(HEAD_LIMIT as usize)
        .http2_max_header_list_size(HEAD_LIMIT)
        // What was signed is sent once: a retry is ours, with a fresh stamp.
        .retry_canceled_requests(false)
        .build(connector))
}

fn judge(error: &Error) -> SendError {
    if error.is_connect() {
        let timed_out = causes(error).any(<dyn StdError>::is::<ConnectTimeout>);
        return if timed_out { SendError::ConnectTimeout } else { SendError::Connect };
    }
    let http = causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    // Canceled means that hyper never took it: the connection was closed between pool and request.
    if http.is_some_and(hyper::Error::is_canceled) {
        return SendError::Stale;
    }
    if http.is_some_and(hyper::Error::is_parse) {
        return SendError::NotHttp;
    }
    let mut extras = http::Extensions::new();
    let Some(info) = error.connect_info() else { return SendError::Died };
    info.get_extras(&mut extras);
    let in_vain = !info.is_negotiated_h2() && extras.get().is_some_and(Turn::was_reused_in_vain);
    if in_vain { SendError::Stale } else { SendError::Died }
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| StdError::source(*error))
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Opens connections, within a time.
#[derive(Clone, Debug)]
struct Connector {
    tcp: Tcp,
    within: Duration,
}

#[derive(Clone, Debug)]
enum Tcp {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

type Stream = Wire<MaybeHttpsStream<TokioIo<TcpStream>>>;
type Boxed = Box<dyn StdError + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
struct ConnectTimeout;

impl Connector {
    fn new(means: Means) -> Result<Self, SendError> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        let tcp = if means.tls {
            http.enforce_http(false);
            let config = tls_config().ok_or(SendError::NoTls)?;
            Tcp::Tls(
                HttpsConnectorBuilder::new()
                    .with_tls_config(config)
                    .https_only()
                    .enable_all_versions()
                    .wrap_connector(http),
            )
        } else {
            Tcp::Plain(http)
        };
        Ok(Self { tcp, within: means.connect })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Boxed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Both connectors below are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut connector = self.clone();
        Box::pin(async move {
            let connecting = async {
                match &mut connector.tcp {
                    Tcp::Plain(tcp) => Ok(MaybeHttpsStream::Http(tcp.call(uri).await?)),
                    Tcp::Tls(tls) => tls.call(uri).await,
                }
            };
            let stream = tokio::time::timeout(connector.within, connecting).await.map_err(|_| ConnectTimeout)??;
            Ok(TokioIo::new(Wire::new(stream)))
        })
    }
}

/// The system's root certificates, read once, when the first `https` upstream is asked.
fn tls_config() -> Option<rustls::ClientConfig> {
    static CONFIG: OnceLock<Option<rustls::ClientConfig>> = OnceLock::new();
    let made = CONFIG.get_or_init(|| match read_roots() {
        Ok(config) => Some(config),
        Err(error) => {
            tracing::error!(%error, "no TLS to upstreams; install the system's root certificates");
            None
        }
    });
    made.clone()
}

fn read_roots() -> io::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_native_roots()?.with_no_client_auth())
}
