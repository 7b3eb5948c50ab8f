//! Miners on loopback that do what a test says, a protocol of plain text, and what dispatch needs around them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use btvep_domain::{
    AttemptOutcome, AttemptReport, Call, Deadlines, Decoder, Delta, EncodeError, Encoded, FailureKind, Flaw, Metagraph,
    MinerFailure, MinerProtocol, NetUid, Neuron, Plan, Prompt, Snapshot, Stamp, Uid, Until,
};
use btvep_engine::dispatch::{AddressPolicy, AttemptLog, Dispatcher, Job, Party};
use btvep_engine::{Load, OverloadConfig, Subnet};
use btvep_protocol::nonce::NonceSource;
use btvep_testkit::{FixedMetagraph, neuron, prompt};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// What a miner does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// 200 with this text, keep-alive.
    Answer(String),
    /// The same, and closes the connection right after.
    AnswerOnce(String),
    /// This status and text.
    Status(u16, String),
    /// Nothing, until the client leaves.
    Hang,
    /// Closes the connection without a byte.
    Die,
    /// Head, these pieces as chunks, and then.
    Pieces(Vec<&'static str>, Then),
    /// Waits to be let go before it does something.
    Gate(Arc<Notify>, Box<Deed>),
    /// These bytes, then closes.
    Raw(&'static [u8]),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// The body's end.
    End,
    /// The connection closes without the body's end.
    Cut,
    /// Nothing, until the client leaves.
    Hang,
}

/// A request as a miner saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which of the miner's connections, from 0.
    pub(crate) connection: usize,
    pub(crate) nonce: u64,
    pub(crate) lane: String,
    pub(crate) uuid: String,
    pub(crate) reading: u8,
    pub(crate) stream: bool,
    pub(crate) text: String,
}

type Script = dyn Fn(&Seen, usize) -> Deed + Send + Sync;

/// A miner; ends with the test's runtime.
pub(crate) struct Miner {
    pub(crate) address: SocketAddr,
    record: Arc<Record>,
}

#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    /// Requests that have come.
    arrived: watch::Sender<usize>,
    /// Connections that the client closed while its answer was not whole.
    abandoned: watch::Sender<usize>,
    /// Lanes with a request in flight, and the most that were in flight at the same time.
    busy: Mutex<(HashMap<String, usize>, usize)>,
}

impl Miner {
    /// Starts a miner whose script is given the request and how many came before it.
    pub(crate) async fn start(script: impl Fn(&Seen, usize) -> Deed + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    /// The same on a listener of the test's own.
    pub(crate) fn on(listener: TcpListener, script: impl Fn(&Seen, usize) -> Deed + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let record = Arc::<Record>::default();
        let (script, kept) = (Arc::new(script), Arc::clone(&record));
        tokio::spawn(async move {
            let mut connections = 0;
            while let Ok((socket, _)) = listener.accept().await {
                let (script, record): (Arc<Script>, _) = (script.clone(), Arc::clone(&kept));
                tokio::spawn(async move { converse(socket, connections, &*script, &record).await });
                connections += 1;
            }
        });
        Self { address, record }
    }

    /// A miner that always does the same.
    pub(crate) async fn always(deed: Deed) -> Self {
        Self::start(move |_, _| deed.clone()).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.seen.lock().unwrap().clone()
    }

    /// The most requests that were in flight at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.record.busy.lock().unwrap().1
    }

    /// Waits until so many requests have come.
    pub(crate) async fn arrived(&self, requests: usize) {
        within(self.record.arrived.subscribe().wait_for(|n| *n >= requests)).await.unwrap();
    }

    /// Waits until so many connections were closed by the client before their answer was whole.
    pub(crate) async fn abandoned(&self, connections: usize) {
        within(self.record.abandoned.subscribe().wait_for(|n| *n >= connections)).await.unwrap();
    }
}

/// Bounds what must happen; a failing test ends.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it happens in time")
}

async fn converse(mut socket: TcpStream, connection: usize, script: &Script, record: &Record) {
    let mut received = Vec::new();
    while let Some(seen) = read_request(&mut socket, &mut received, connection).await {
        let before = {
            let mut all = record.seen.lock().unwrap();
            all.push(seen.clone());
            all.len() - 1
        };
        {
            let mut busy = record.busy.lock().unwrap();
            let lane = busy.0.entry(seen.lane.clone()).or_default();
            *lane += 1;
            assert!(*lane == 1 || seen.lane.is_empty(), "a lane carries one request at a time");
            let now = busy.0.values().sum();
            busy.1 = busy.1.max(now);
        }
        record.arrived.send_modify(|n| *n += 1);
        let mut deed = script(&seen, before);
        while let Deed::Gate(gate, next) = deed {
            gate.notified().await;
            deed = *next;
        }
        // Before the answer: the client's next request may come right after it.
        *record.busy.lock().unwrap().0.get_mut(&seen.lane).unwrap() -= 1;
        if !perform(deed, &mut socket, record).await {
            return;
        }
    }
}

/// Returns whether the connection serves on.
async fn perform(deed: Deed, socket: &mut TcpStream, record: &Record) -> bool {
    match deed {
        Deed::Answer(text) => whole(socket, 200, &text).await,
        Deed::AnswerOnce(text) => {
            whole(socket, 200, &text).await;
            false
        }
        Deed::Status(status, text) => whole(socket, status, &text).await,
        Deed::Die => false,
        Deed::Hang => watch_leave(socket, record).await,
        Deed::Raw(bytes) => {
            let _ = socket.write_all(bytes).await;
            false
        }
        Deed::Pieces(pieces, then) => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
            let chunks = pieces.into_iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len()));
            let answer: String = std::iter::once(head).chain(chunks).collect();
            socket.write_all(answer.as_bytes()).await.unwrap();
            match then {
                Then::End => socket.write_all(b"0\r\n\r\n").await.is_ok(),
                Then::Cut => false,
                Then::Hang => watch_leave(socket, record).await,
            }
        }
        Deed::Gate(..) => unreachable!("gates are passed before"),
    }
}

async fn whole(socket: &mut TcpStream, status: u16, text: &str) -> bool {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    socket.write_all(head.as_bytes()).await.is_ok()
}

async fn watch_leave(socket: &mut TcpStream, record: &Record) -> bool {
    while socket.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    record.abandoned.send_modify(|n| *n += 1);
    false
}

async fn read_request(socket: &mut TcpStream, received: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(received[..end].to_vec()).unwrap();
            assert!(head.starts_with("POST /ask HTTP/1.1\r\n"), "{head}");
            let field = |name: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.unwrap_or_default().to_owned()
            };
            let length: usize = field("content-length").parse().unwrap();
            if received.len() >= end + 4 + length {
                let text = String::from_utf8(received[end + 4..end + 4 + length].to_vec()).unwrap();
                received.drain(..end + 4 + length);
                return Some(Seen {
                    connection,
                    nonce: field("x-nonce").parse().unwrap(),
                    lane: field("x-lane"),
                    uuid: field("x-uuid"),
                    reading: field("x-reading").parse().unwrap(),
                    stream: field("x-stream") == "true",
                    text,
                });
            }
        }
        let mut block = [0; 4096];
        let read = socket.read(&mut block).await.ok().filter(|read| *read > 0)?;
        received.extend_from_slice(&block[..read]);
    }
}

/// A protocol of plain text: the prompt's last message out, the body's bytes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    pub(crate) streams: bool,
}

impl MinerProtocol for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn can_stream(&self) -> bool {
        self.streams
    }

    fn accepts(&self, _: &Prompt, _: bool) -> Result<(), EncodeError> {
        Ok(())
    }

    fn encode(&self, call: &Call<'_>, stamp: &Stamp) -> Result<Encoded, EncodeError> {
        let text = call.prompt.messages.last().map(|message| message.text.clone()).unwrap_or_default();
        if text == "unspeakable" {
            return Err(EncodeError::TextOnly);
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-nonce", stamp.nonce.into());
        headers.insert("x-lane", HeaderValue::from_str(&stamp.lane).unwrap());
        headers.insert("x-uuid", HeaderValue::from_str(&stamp.uuid).unwrap());
        headers.insert("x-reading", u16::from(call.reading).into());
        headers.insert("x-stream", HeaderValue::from_static(if call.stream { "true" } else { "false" }));
        Ok(Encoded { path: "/ask".to_owned(), headers, body: Bytes::from(text) })
    }

    fn decoder(&self, call: &Call<'_>, status: StatusCode, _: &HeaderMap) -> Box<dyn Decoder> {
        Box::new(PlainDecoder { status, stream: call.stream, text: String::new(), done: false })
    }

    fn next_reading(&self, _: &Call<'_>, tried: &[u8]) -> Option<u8> {
        (0..3).find(|reading| !tried.contains(reading))
    }
}

#[derive(Debug)]
struct PlainDecoder {
    status: StatusCode,
    stream: bool,
    text: String,
    done: bool,
}

impl Decoder for PlainDecoder {
    fn push(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        if text.ends_with("[DONE]") {
            self.done = true;
        } else if self.stream && self.status.is_success() {
            deltas.push(Delta { content: text, ..Delta::default() });
        } else {
            self.text += &text;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn finish(&mut self, clean: bool, deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        if !clean {
            return Err(MinerFailure::new(FailureKind::Disconnected, "broke off"));
        }
        if !self.status.is_success() {
            let flaw = match self.text.as_str() {
                "reread" => Flaw::Reread,
                "busy" => Flaw::Busy,
                _ => Flaw::Miner,
            };
            let message = std::mem::take(&mut self.text);
            return Err(MinerFailure { kind: FailureKind::Status, flaw, message });
        }
        if !self.stream {
            deltas.push(Delta { content: std::mem::take(&mut self.text), ..Delta::default() });
        }
        Ok(())
    }
}

/// A dispatcher and a subnet of the miners given, uids from 0 in their order.
pub(crate) struct Bed {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) subnet: Subnet,
    pub(crate) metagraph: Arc<Metagraph>,
    pub(crate) load: Arc<Load>,
}

impl Bed {
    pub(crate) fn new(addresses: &[SocketAddr]) -> Self {
        let neurons =
            (0..).zip(addresses).map(|(uid, address)| Neuron { axon: Some(*address), ..neuron(uid) }).collect();
        let metagraph = Arc::new(Metagraph::new(NetUid(1), 0, 0, neurons).unwrap());
        let subnet = Subnet {
            name: "test".into(),
            netuid: NetUid(1),
            source: Arc::new(FixedMetagraph(Some(Arc::clone(&metagraph)))),
            protocol: Arc::new(Plain { streams: true }),
            nonces: Arc::new(NonceSource::new(0).unwrap()),
            addresses: AddressPolicy::Any,
            deadlines: Deadlines {
                connect: Duration::from_secs(5),
                first_token: Duration::from_secs(10),
                idle: Duration::from_secs(10),
                total: Duration::from_secs(15),
            },
            lanes: 4,
            answer_bytes: 1_000,
            max_age: None,
        };
        let load = Load::new(&prometheus::Registry::new()).unwrap();
        Self { dispatcher: Dispatcher::new(), subnet, metagraph, load }
    }

    pub(crate) fn of(miners: &[&Miner]) -> Self {
        Self::new(&miners.iter().map(|miner| miner.address).collect::<Vec<_>>())
    }

    /// Returns a job whose plan has one stage of all miners, all at once.
    pub(crate) fn job(&self, text: &str) -> Job {
        let all: Vec<_> = self.metagraph.neurons().iter().map(|neuron| neuron.uid).collect();
        let subnet = Subnet {
            name: Arc::clone(&self.subnet.name),
            netuid: self.subnet.netuid,
            source: Arc::clone(&self.subnet.source),
            protocol: Arc::clone(&self.subnet.protocol),
            nonces: Arc::clone(&self.subnet.nonces),
            ..self.subnet
        };
        Job {
            prompt: Arc::new(prompt(text)),
            model: "test".into(),
            snapshot: Some(Snapshot {
                metagraph: Arc::clone(&self.metagraph),
                health: self.dispatcher.health(&subnet, &self.metagraph),
            }),
            party: Party::Subnet(Arc::new(subnet)),
            plan: Plan { at_once: 64, stages: vec![all], until: Until::First, hedge: None },
            stream: true,
            timeout: None,
            attempts: AttemptLog::new(),
            place: self.load.enter(None, 0, &OverloadConfig::default()).unwrap(),
        }
    }

    /// Sends a prompt and returns the texts, or none.
    pub(crate) async fn ask(&self, job: &Job) -> Option<Vec<String>> {
        let answer = within(self.dispatcher.whole(job)).await.ok()?;
        Some(answer.choices.into_iter().map(|choice| choice.content).collect())
    }

    /// Returns a counter of [`Dispatcher::metrics`].
    pub(crate) fn count(&self, label: &str) -> u64 {
        let families = self.dispatcher.metrics();
        let metrics = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let found = metrics.filter(|metric| metric.get_label()[0].value() == label);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        found.map(|metric| metric.get_counter().get_value() as u64).sum()
    }
}

/// Returns a plan of these stages.
pub(crate) fn plan(stages: &[&[u16]], at_once: u16, until: Until) -> Plan {
    Plan {
        stages: stages.iter().map(|stage| stage.iter().copied().map(Uid).collect()).collect(),
        at_once,
        until,
        hedge: None,
    }
}

/// Returns what a log says: uid, outcome, message.
pub(crate) fn told(job: &Job) -> Vec<(u16, &'static str, String)> {
    job.attempts.take().into_iter().map(tell).collect()
}

fn tell(report: AttemptReport) -> (u16, &'static str, String) {
    let uid = report.uid.map_or(u16::MAX, |uid| uid.0);
    match report.outcome {
        AttemptOutcome::Success => (uid, "success", String::new()),
        AttemptOutcome::Failed(failure) => (uid, failure.kind.label(), failure.message),
        AttemptOutcome::Partial(failure) => (uid, "partial", failure.message),
        AttemptOutcome::Cancelled => (uid, "cancelled", String::new()),
    }
}
