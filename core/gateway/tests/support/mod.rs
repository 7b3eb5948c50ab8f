//! A gateway on ephemeral ports before an engine that the test plays.
#![expect(dead_code, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use btvep_domain::{Answer, Choice, Credential, Delta, Kind, Rejection};
use btvep_engine::{Attribution, COPIES, Connection, Incoming, Load, OverloadConfig, Place, Reply, Serve};
use btvep_gateway::{Certificate, Gateway, GatewayConfig, Probes, Settings, Stopper};
use prometheus::{Registry, TextEncoder};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// The longest any step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens in time")
}

/// A prompt that the engine was given, and the way to answer it.
pub(crate) type Held = (Incoming, oneshot::Sender<Reply>);

/// An engine that refuses bad prompts, echoes prompts that begin with `echo`, and hands all others to the test.
#[derive(Debug)]
struct Played {
    held: mpsc::UnboundedSender<Held>,
    load: Arc<Load>,
    overload: OverloadConfig,
}

impl Serve for Played {
    fn enter<'a>(
        &'a self,
        credential: &'a Credential,
        _: i64,
        bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Place>, Rejection>> + Send + 'a>> {
        let who = credential.presented().ok().map(|_| "testkey00001".parse().unwrap());
        Box::pin(async move { Ok(self.load.enter(who, COPIES * bytes, &self.overload)?) })
    }

    fn connect(&self, most: usize) -> Option<Connection> {
        self.load.connect(self.overload.connections.min(most))
    }

    fn serve(&self, mut incoming: Incoming) -> oneshot::Receiver<Reply> {
        let (reply, receiver) = oneshot::channel();
        let attribution = attribution(&incoming);
        match std::mem::replace(&mut incoming.prompt, Err(Rejection::new(Kind::Internal, "taken"))) {
            Err(rejection) => drop(reply.send(Reply::Rejected { rejection, attribution })),
            Ok(prompt) if prompt.messages[0].text.starts_with("echo") => {
                let answer = whole(&prompt.messages[0].text);
                drop(reply.send(Reply::Whole { answer, attribution }));
            }
            Ok(prompt) => {
                incoming.prompt = Ok(prompt);
                let _ = self.held.send((incoming, reply));
            }
        }
        receiver
    }

    fn models(&self) -> Vec<(Arc<str>, i64)> {
        vec![("sn1".into(), 17), ("org/big".into(), 18)]
    }

    fn authenticate(
        &self,
        credential: Credential,
        _: i64,
    ) -> Pin<Box<dyn Future<Output = Result<(), Rejection>> + Send + '_>> {
        let verdict = match credential {
            Credential::Key(key) if key.expose() == "good" => Ok(()),
            Credential::Key(_) => Err(Rejection::new(Kind::UnknownKey, "the API key is unknown")),
            _ => Err(Rejection::new(Kind::MissingKey, "send an API key")),
        };
        Box::pin(async { verdict })
    }

    fn in_flight(&self) -> usize {
        0
    }
}

#[derive(Debug)]
struct Always(Registry);

impl Probes for Always {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.gather()).unwrap()
    }
}

/// An engine that nobody plays.
pub(crate) fn engine() -> Arc<dyn Serve> {
    let load = Load::new(&Registry::new()).unwrap();
    Arc::new(Played { held: mpsc::unbounded_channel().0, load, overload: OverloadConfig::default() })
}

/// A server that is always ready.
pub(crate) fn probes(registry: &Registry) -> Arc<dyn Probes> {
    Arc::new(Always(registry.clone()))
}

/// A running gateway; stopped when dropped.
pub(crate) struct Running {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) settings: Settings,
    pub(crate) held: mpsc::UnboundedReceiver<Held>,
    pub(crate) stopper: Stopper,
    pub(crate) load: Arc<Load>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::under(OverloadConfig::default(), change)
    }

    /// The same before an engine that carries only so much.
    pub(crate) fn under(overload: OverloadConfig, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut config = GatewayConfig::default();
        config.listen.public.set_port(0);
        config.listen.admin.set_port(0);
        config.listen.threads = 2;
        // Pingora's runtimes without work stealing remember dead threads: a process has one such server in its life.
        config.listen.work_stealing = true;
        change(&mut config);
        let (sender, held) = mpsc::unbounded_channel();
        let registry = Registry::new();
        let probes = Arc::new(Always(registry.clone()));
        let load = Load::new(&registry).unwrap();
        let played = Arc::new(Played { held: sender, load: load.clone(), overload });
        let gateway = Gateway::new(config, played, probes, &registry).unwrap();
        Self {
            public: gateway.public_address(),
            admin: gateway.admin_address(),
            certificate: gateway.certificate(),
            settings: gateway.settings(),
            stopper: gateway.stopper(),
            held,
            load,
            thread: Some(std::thread::spawn(move || gateway.run_until_stopped().unwrap())),
        }
    }

    pub(crate) fn plain() -> Self {
        Self::start(|_| ())
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.public).await.unwrap()))
    }

    pub(crate) async fn connect_admin(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.admin).await.unwrap()))
    }

    /// Returns the next prompt that the engine was given.
    pub(crate) async fn next(&mut self) -> Held {
        soon(self.held.recv()).await.unwrap()
    }

    /// Waits until the gateway has ended.
    pub(crate) async fn ended(&mut self) {
        let thread = self.thread.take().unwrap();
        soon(tokio::task::spawn_blocking(move || thread.join().unwrap())).await.unwrap();
    }

    /// Waits until a metric has a value; it is counted a moment after what the client sees.
    pub(crate) async fn metric_becomes(&self, line: &str, value: u64) {
        let becoming = async {
            while self.metric(line).await != value {
                tokio::task::yield_now().await;
            }
        };
        soon(becoming).await;
    }

    /// Returns the value of a metric, 0 when it is not there.
    pub(crate) async fn metric(&self, line: &str) -> u64 {
        let text = self.connect_admin().await.ask("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.text();
        let found = text.lines().find_map(|have| have.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // Asked again, a drain ends that waits for what a failed test has left.
            while !thread.is_finished() {
                self.stopper.stop();
                std::thread::park_timeout(Duration::from_millis(5));
            }
            let _ = thread.join();
        }
    }
}

pub(crate) fn attribution(incoming: &Incoming) -> Attribution {
    Attribution {
        request_id: incoming.request_id.clone(),
        model: Some("sn1".into()),
        attempts: 1,
        ..Attribution::default()
    }
}

pub(crate) fn whole(text: &str) -> Answer {
    let choice = Choice {
        uid: None,
        hotkey: None,
        content: text.into(),
        extras: Vec::new(),
        logprobs: None,
        finish_reason: "stop".into(),
        response_ms: 1,
    };
    Answer { choices: vec![choice], ..Answer::default() }
}

pub(crate) fn token(text: &str) -> Delta {
    Delta { content: text.into(), ..Delta::default() }
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A client that writes bytes, so that it can be as rude as a test needs.
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request).await;
        self.response().await
    }

    /// Reads a head.
    pub(crate) async fn head(&mut self) -> Response {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = soon(self.0.read_line(&mut line)).await.unwrap();
            assert!(read > 0, "the connection was closed after {lines:?}");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &String| line.split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned())).unwrap();
        Response { status, headers: lines[1..].iter().map(header).collect(), body: Vec::new() }
    }

    /// Reads a head and its body.
    pub(crate) async fn response(&mut self) -> Response {
        let mut response = self.head().await;
        if response.status < 200 {
            return response;
        }
        if response.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await {
                response.body.extend_from_slice(&chunk);
            }
        } else {
            let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
            response.body = vec![0; length];
            soon(self.0.read_exact(&mut response.body)).await.unwrap();
        }
        response
    }

    /// Reads one chunk; none at the end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("no chunk: {line:?}"));
        let mut chunk = vec![0; size + 2];
        soon(self.0.read_exact(&mut chunk)).await.unwrap();
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// Waits until the server closes.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let _ = soon(self.0.read_to_end(&mut rest)).await;
    }
}

/// A prompt for `/v1/chat/completions`.
pub(crate) fn prompt(text: &str) -> String {
    format!(r#"{{"model":"sn1","messages":[{{"role":"user","content":"{text}"}}]}}"#)
}

/// A prompt that wants a stream.
pub(crate) fn stream_prompt() -> String {
    prompt("stream").replacen('{', r#"{"stream":true,"#, 1)
}

/// A request with a body.
pub(crate) fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A request for a chat completion.
pub(crate) fn chat(body: &str) -> String {
    post("/v1/chat/completions", body)
}
