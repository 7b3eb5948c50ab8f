//! The life of a request against scripted miners: what is charged, and who sees the end.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what cannot be done fails the test"
)]

mod explain;
mod kill_list;
mod scripted;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use btvep_domain::{
    Accounts, Credential, Credits, Deadlines, Ending, Exchange, Filter, Flow, Incentive, KeyId, Keys, Kind, Metagraph,
    Modality, Model, NetUid, Neuron, NewKey, Outcome, ParameterMode, Rejection, Route, Secret, Surface,
};
use btvep_engine::dispatch::{AddressPolicy, Dispatcher};
use btvep_engine::{
    Engine, EngineMetrics, Incoming, KillList, OverloadConfig, Reply, Serve, Service, StreamEvent, Subnet, Upstream,
};
use btvep_plugins::{Auth, Credits as CreditsFilter};
use btvep_protocol::nonce::NonceSource;
use btvep_protocol::openai::OpenAi;
use btvep_protocol::surface::{LimitsConfig, openai};
use btvep_state::Memory;
use btvep_strategies::{DefaultStrategy, TopN, Uids};
use btvep_testkit::{FixedMetagraph, neuron};
use futures_util::FutureExt;
use scripted::{Script, Scripted};
use tokio::sync::mpsc;

const WHOLE: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
const TWO: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":"stop"}]}"#;
const EMPTY: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#;
const TOKEN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"tok \"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// What the noting filters do on the way in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Pass,
    Refuse,
    Panic,
}

/// Notes its entrances and ends.
#[derive(Debug)]
struct Note {
    name: &'static str,
    deed: Deed,
    notes: Arc<Mutex<Vec<String>>>,
    ends: mpsc::UnboundedSender<()>,
}

#[async_trait]
impl Filter for Note {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn on_request(&self, _exchange: &mut Exchange) -> Flow {
        self.notes.lock().unwrap().push(format!("{} in", self.name));
        match self.deed {
            Deed::Pass => Ok(()),
            Deed::Refuse => Err(Rejection::new(Kind::ContentFiltered, "no")),
            Deed::Panic => panic!("on purpose"),
        }
    }

    fn on_end(&self, _exchange: &Exchange, outcome: &Outcome) {
        let ending = match &outcome.ending {
            Ending::Answered => "answered".to_owned(),
            Ending::Streamed => "streamed".to_owned(),
            Ending::Partial(rejection) => format!("partial {}", rejection.kind.code()),
            Ending::Rejected(rejection) => rejection.kind.code().to_owned(),
            Ending::ClientGone { delivered } => format!("gone {delivered}"),
            Ending::Panicked => "panicked".to_owned(),
        };
        self.notes.lock().unwrap().push(format!("{} out {ending}", self.name));
        let _ = self.ends.send(());
    }
}

struct Bed {
    engine: Arc<Engine>,
    store: Arc<Memory>,
    id: KeyId,
    secret: Secret,
    notes: Arc<Mutex<Vec<String>>>,
    ends: mpsc::UnboundedReceiver<()>,
    filters: Vec<Arc<dyn Filter>>,
    addresses: Vec<SocketAddr>,
}

impl Bed {
    /// Serves two models of price 2 for a key with ten credits: `m` from an upstream, `s` from it as a miner.
    async fn new(upstream: &Scripted, deed: Deed) -> Self {
        Self::of(&[upstream], deed).await
    }

    /// The same, with other caps.
    async fn under(overload: OverloadConfig, upstream: &Scripted, deed: Deed) -> Self {
        let bed = Self::new(upstream, deed).await;
        let service = service(&bed.store, &bed.filters, &bed.addresses, KillList::default());
        bed.engine.replace(Service { overload, ..service });
        bed
    }

    /// Serves `s` from several miners, the best first, and `m` from the first of them.
    async fn of(miners: &[&Scripted], deed: Deed) -> Self {
        let store = Arc::new(Memory::new());
        let new = NewKey { credits: Some(Credits::whole(10)), ..NewKey::default() };
        let (key, secret) = store.create(new, 0).await.unwrap();
        let notes = Arc::new(Mutex::new(Vec::new()));
        let (ended, ends) = mpsc::unbounded_channel();
        let note = |name, deed| -> Arc<dyn Filter> {
            Arc::new(Note { name, deed, notes: Arc::clone(&notes), ends: ended.clone() })
        };
        let filters = vec![
            note("outer", Deed::Pass),
            Arc::new(Auth::new(Arc::clone(&store) as Arc<dyn Keys>)),
            Arc::new(CreditsFilter::new()),
            note("inner", deed),
        ];
        let addresses: Vec<_> = miners.iter().map(|miner| miner.address).collect();
        let registry = prometheus::Registry::new();
        let metrics = Arc::new(EngineMetrics::new(&registry).unwrap());
        let service = service(&store, &filters, &addresses, KillList::default());
        let engine = Engine::new(service, Dispatcher::new(), metrics);
        Self { engine, store, id: key.id, secret, notes, ends, filters, addresses }
    }

    /// Puts a kill list in force, as a changed configuration does.
    fn kill(&self, list: KillList) {
        self.engine.replace(service(&self.store, &self.filters, &self.addresses, list));
    }

    fn ask(&self, body: &str) -> tokio::sync::oneshot::Receiver<Reply> {
        self.engine.serve(self.incoming(body))
    }

    fn incoming(&self, body: &str) -> Incoming {
        let credential = Credential::Key(self.secret.clone());
        let entering = self.engine.enter(&credential, 1_700_000_000_000, body.len());
        let place = entering.now_or_never().expect("a known key needs no I/O").unwrap();
        Incoming {
            request_id: format!("req_{body:p}_{:?}", Instant::now()).into(),
            received_at_ms: 1_700_000_000_000,
            received_at: Instant::now(),
            surface: Surface::OpenAi,
            client: None,
            credential: Credential::Key(self.secret.clone()),
            strategy_header: None,
            timeout: None,
            client_retry: None,
            explain: false,
            place,
            prompt: openai::parse(body.to_owned().into(), &LimitsConfig::default()),
        }
    }

    /// Waits for both noting filters' ends and returns what is left of the ten credits, and what is held.
    async fn after(&mut self) -> (Credits, Credits) {
        for _ in 0..2 {
            soon(self.ends.recv()).await.unwrap();
        }
        let until = Instant::now() + Duration::from_secs(10);
        while self.engine.in_flight() > 0 {
            assert!(Instant::now() < until, "a task never ended");
            tokio::task::yield_now().await;
        }
        let account = self.store.account(self.id).await.unwrap().unwrap();
        (account.credits.unwrap(), account.held)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

fn service(store: &Arc<Memory>, filters: &[Arc<dyn Filter>], addresses: &[SocketAddr], kill_list: KillList) -> Service {
    let deadlines = Deadlines { total: Duration::from_secs(20), ..Deadlines::default() };
    let protocol = Arc::new(OpenAi::new("/v1", None).unwrap());
    let upstream = Upstream {
        name: "up".into(),
        origin: format!("http://{}", addresses[0]),
        protocol: Arc::clone(&protocol) as _,
        deadlines,
        answer_bytes: 1 << 20,
    };
    let neuron = |(uid, address): (u16, &SocketAddr)| Neuron {
        axon: Some(*address),
        incentive: Incentive(1000 - uid),
        ..neuron(uid)
    };
    let neurons = (0..).zip(addresses).map(neuron);
    let metagraph = Arc::new(Metagraph::new(NetUid(1), 7, 0, neurons.collect()).unwrap());
    let subnet = Subnet {
        name: "sn1".into(),
        netuid: NetUid(1),
        source: Arc::new(FixedMetagraph(Some(metagraph))),
        protocol,
        nonces: Arc::new(NonceSource::new(0).unwrap()),
        addresses: AddressPolicy::Any,
        deadlines,
        lanes: 8,
        answer_bytes: 1 << 20,
        max_age: None,
    };
    let model = |id: &str, route| Model {
        id: id.into(),
        upstream_name: None,
        route,
        modality: Modality::Chat,
        price: Credits::whole(2),
        default_strategy: None,
        presets: Vec::new(),
        mode: ParameterMode::Strict,
        created: 0,
    };
    let default = DefaultStrategy::new(&btvep_strategies::default::Config::default()).unwrap();
    Service {
        config: "0123456789ab".into(),
        filters: filters.to_vec(),
        models: vec![
            Arc::new(model("m", Route::Upstream("up".into()))),
            Arc::new(model("s", Route::Subnet("sn1".into()))),
        ],
        strategies: BTreeMap::from([
            ("default".into(), Arc::new(default) as _),
            ("uids".into(), Arc::new(Uids) as _),
            ("top_n".into(), Arc::new(TopN) as _),
        ]),
        subnets: BTreeMap::from([("sn1".into(), Arc::new(subnet))]),
        upstreams: BTreeMap::from([("up".into(), Arc::new(upstream))]),
        keys: Arc::clone(store) as _,
        accounts: Arc::clone(store) as _,
        overload: OverloadConfig::default(),
        max_miners: 16,
        kill_list: Arc::new(kill_list),
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it takes too long")
}

fn body(more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hello"}}]{more}}}"#)
}

/// The same for a model that miners serve.
fn on_miners(more: &str) -> String {
    body(more).replace(r#""model":"m""#, r#""model":"s""#)
}

fn always(status: u16, json: &'static str) -> impl Fn(&str) -> Script {
    move |_| Script::Whole(status, json.to_owned())
}

/// A script that streams what the returned sender is given.
fn streamed() -> (mpsc::UnboundedSender<String>, impl Fn(&str) -> Script) {
    let (send, pieces) = mpsc::unbounded_channel();
    let once = Mutex::new(Some(pieces));
    (send, move |_: &str| Script::Chunks(once.lock().unwrap().take().expect("asked once")))
}

fn spent(credits: i64) -> (Credits, Credits) {
    (Credits::whole(10 - credits), Credits::ZERO)
}

#[tokio::test]
async fn a_whole_answer_costs_its_price_and_every_filter_sees_the_end() {
    let upstream = Scripted::start(always(200, WHOLE)).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let Reply::Whole { answer, attribution } = soon(bed.ask(&body(""))).await.unwrap() else { panic!("not whole") };
    assert_eq!(answer.choices[0].content, "hi");
    assert_eq!(attribution.credits_charged, Some(Credits::whole(2)));
    assert_eq!(attribution.credits_remaining, Some(Credits::whole(8)));
    assert_eq!(answer.usage.unwrap().total_tokens, 3);
    assert_eq!(bed.after().await, spent(2));
    assert_eq!(bed.notes(), ["outer in", "inner in", "inner out answered", "outer out answered"]);
}

#[tokio::test]
async fn each_choice_costs_its_price() {
    let upstream = Scripted::start(always(200, TWO)).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let Reply::Whole { answer, .. } = soon(bed.ask(&body(r#","n":2"#))).await.unwrap() else { panic!("not whole") };
    assert_eq!(answer.choices.len(), 2);
    assert_eq!(bed.after().await, spent(4));
}

#[tokio::test]
async fn an_answer_that_finds_no_memory_is_refused_and_free() {
    let long = WHOLE.replace("hi", &"hi".repeat(1_000));
    let upstream = Scripted::start(move |_| Script::Whole(200, long.clone())).await;
    let overload = OverloadConfig { bytes: 1_000, ..OverloadConfig::default() };
    let mut bed = Bed::under(overload, &upstream, Deed::Pass).await;
    let rejection = rejected(soon(bed.ask(&body(""))).await.unwrap());
    assert_eq!(rejection.kind, Kind::Overloaded);
    assert!(rejection.retry_after.is_some_and(|wait| wait <= Duration::from_mins(1)));
    assert_eq!(bed.after().await, spent(0));
    assert_eq!((bed.engine.load().requests(), bed.engine.load().bytes()), (0, 0));
}

#[tokio::test]
async fn what_an_answer_takes_is_counted_until_it_is_written() {
    let upstream = Scripted::start(always(200, WHOLE)).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let credential = Credential::Key(bed.secret.clone());
    // As the gateway does it: one owner here, one in the request's task.
    let place = bed.engine.enter(&credential, 1_700_000_000_000, 0).await.unwrap();
    let incoming = Incoming { place: Arc::clone(&place), ..bed.incoming(&body("")) };
    drop(soon(bed.engine.serve(incoming)).await.unwrap());
    bed.after().await;
    assert_eq!((bed.engine.load().requests(), bed.engine.load().bytes()), (1, 2 * "hi".len()));
    drop(place);
    assert_eq!((bed.engine.load().requests(), bed.engine.load().bytes()), (0, 0));
}

#[track_caller]
fn rejected(reply: Reply) -> Rejection {
    match reply {
        Reply::Rejected { rejection, .. } => rejection,
        other => panic!("not rejected: {other:?}"),
    }
}

#[tokio::test]
async fn when_all_miners_fail_nothing_is_charged() {
    for (status, json) in [(500, "{}"), (200, EMPTY), (200, "no json")] {
        let upstream = Scripted::start(always(status, json)).await;
        let mut bed = Bed::new(&upstream, Deed::Pass).await;
        let rejection = rejected(soon(bed.ask(&body(""))).await.unwrap());
        assert_eq!(rejection.kind, Kind::AllMinersFailed, "{json}");
        assert_eq!(rejection.attempts.len(), 1);
        assert_eq!(bed.after().await, spent(0));
    }
}

#[tokio::test]
async fn a_refused_request_costs_nothing_and_inner_filters_never_see_it() {
    let upstream = Scripted::start(always(200, WHOLE)).await;
    let mut bed = Bed::new(&upstream, Deed::Refuse).await;
    assert_eq!(rejected(soon(bed.ask(&body(""))).await.unwrap()).kind, Kind::ContentFiltered);
    assert_eq!(bed.after().await, spent(0));
    let expected = ["outer in", "inner in", "inner out content_filter", "outer out content_filter"];
    assert_eq!(bed.notes(), expected);
}

#[tokio::test]
async fn more_than_the_credits_cover_is_refused_and_nothing_is_held() {
    let upstream = Scripted::start(always(200, WHOLE)).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    assert_eq!(rejected(soon(bed.ask(&body(r#","n":6"#))).await.unwrap()).kind, Kind::InsufficientCredits);
    assert_eq!(bed.after().await, spent(0));
}

#[tokio::test]
async fn a_panic_takes_the_way_out_and_releases_the_hold() {
    let upstream = Scripted::start(always(200, WHOLE)).await;
    let mut bed = Bed::new(&upstream, Deed::Panic).await;
    assert!(soon(bed.ask(&body(""))).await.is_err(), "the task gave a reply");
    assert_eq!(bed.after().await, spent(0));
    assert_eq!(bed.notes(), ["outer in", "inner in", "inner out panicked", "outer out panicked"]);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_pays_nothing_and_its_miner_is_cancelled() {
    for more in ["", r#","stream":true"#] {
        let upstream = Scripted::start(|_| Script::Hang).await;
        let mut bed = Bed::new(&upstream, Deed::Pass).await;
        let pending = bed.ask(&body(more));
        let until = Instant::now() + Duration::from_secs(10);
        while bed.notes().len() < 2 {
            assert!(Instant::now() < until, "the request never got in");
            tokio::task::yield_now().await;
        }
        drop(pending);
        assert_eq!(bed.after().await, spent(0));
        assert_eq!(bed.notes()[2..], ["inner out gone false", "outer out gone false"]);
    }
}

#[tokio::test]
async fn a_stream_is_passed_on_as_it_comes_and_charged_before_its_end() {
    let (miner, script) = streamed();
    let upstream = Scripted::start(script).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let pending = bed.ask(&body(r#","stream":true"#));
    miner.send(TOKEN.to_owned()).unwrap();
    let Reply::Stream { mut events, .. } = soon(pending).await.unwrap() else { panic!("not a stream") };
    for _ in 0..3 {
        // The miner sends the next piece only after the client has this one.
        let StreamEvent::Delta(delta, _) = soon(events.recv()).await.unwrap() else { panic!("no delta") };
        assert_eq!(delta.content, "tok ");
        miner.send(TOKEN.to_owned()).unwrap();
    }
    miner.send(LAST.to_owned()).unwrap();
    drop(miner);
    let charged = loop {
        match soon(events.recv()).await.unwrap() {
            StreamEvent::Delta(..) => {}
            StreamEvent::End { attribution, .. } => break attribution.credits_charged,
            StreamEvent::Failed { rejection, .. } => panic!("{rejection:?}"),
        }
    };
    assert_eq!(charged, Some(Credits::whole(2)));
    assert_eq!(bed.after().await, spent(2));
}

#[tokio::test]
async fn a_client_that_leaves_after_a_token_pays_the_choice() {
    let (miner, script) = streamed();
    let upstream = Scripted::start(script).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let pending = bed.ask(&body(r#","stream":true"#));
    miner.send(TOKEN.to_owned()).unwrap();
    let Reply::Stream { mut events, left, .. } = soon(pending).await.unwrap() else { panic!("not a stream") };
    soon(events.recv()).await.unwrap();
    left.store(true, Ordering::Release);
    drop(events);
    assert_eq!(bed.after().await, spent(2));
    assert_eq!(bed.notes()[2], "inner out gone true");
    soon(upstream.left.notified()).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_first_token_has_left_pays_nothing() {
    let (miner, script) = streamed();
    let upstream = Scripted::start(script).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let pending = bed.ask(&body(r#","stream":true"#));
    miner.send(TOKEN.to_owned()).unwrap();
    let Reply::Stream { events, .. } = soon(pending).await.unwrap() else { panic!("not a stream") };
    drop(events);
    assert_eq!(bed.after().await, spent(0));
}

#[tokio::test]
async fn a_stream_that_breaks_after_a_token_is_partial_and_costs_the_choice() {
    let (miner, script) = streamed();
    let upstream = Scripted::start(script).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let pending = bed.ask(&body(r#","stream":true"#));
    miner.send(TOKEN.to_owned()).unwrap();
    let Reply::Stream { mut events, .. } = soon(pending).await.unwrap() else { panic!("not a stream") };
    soon(events.recv()).await.unwrap();
    drop(miner);
    let last = loop {
        match soon(events.recv()).await.unwrap() {
            StreamEvent::Delta(..) => {}
            other => break other,
        }
    };
    assert!(matches!(last, StreamEvent::Failed { .. }), "{last:?}");
    assert_eq!(bed.after().await, spent(2));
    assert_eq!(bed.notes()[2], "inner out partial all_miners_failed");
}

#[tokio::test]
async fn a_miner_that_cannot_begin_its_stream_is_a_failure_before_the_first_byte() {
    let upstream = Scripted::start(always(503, "{}")).await;
    let mut bed = Bed::new(&upstream, Deed::Pass).await;
    let rejection = rejected(soon(bed.ask(&body(r#","stream":true"#))).await.unwrap());
    assert_eq!(rejection.kind, Kind::AllMinersFailed);
    assert_eq!(bed.after().await, spent(0));
}
