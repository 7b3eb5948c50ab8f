use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sha3::Sha3_256;

use super::*;
use crate::{Ending, MinerPython, MinerSpeech};

const SOON: Duration = Duration::from_secs(20);
const CHAT: &str = "/v1/chat/completions";

/// A validator that signs by the rules written out here, not by those of the product.
struct Validator {
    signer: Signer,
    client: Client<HttpConnector, Full<Bytes>>,
    nonces: AtomicU64,
}

impl Validator {
    fn new() -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(4).build_http();
        Self { signer: Signer::from_uri("//Validator").unwrap(), client, nonces: AtomicU64::new(now_ns()) }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        tokio::time::timeout(SOON, self.client.request(request)).await.expect("in time").expect("an answer")
    }

    fn nonce(&self) -> u64 {
        self.nonces.fetch_add(1, Ordering::Relaxed)
    }

    fn signed_chat(&self, net: &Devnet, uid: u16, body: &Value) -> Request<Full<Bytes>> {
        let body = body.to_string();
        let receiver = address(net, uid);
        let nonce = self.nonce();
        let digest = hex::encode(Sha256::digest(&body));
        let own = self.signer.address();
        let text = format!("btauth/1\nsr25519\nPOST\n{CHAT}\n{digest}\n{nonce}\n{own}\n{receiver}");
        Request::post(url(net, uid, CHAT))
            .header("x-bittensor-version", "1")
            .header("x-bittensor-hotkey", own)
            .header("x-bittensor-receiver", receiver)
            .header("x-bittensor-nonce", nonce)
            .header("x-bittensor-signature", self.signer.sign_hex(text.as_bytes()))
            .body(Full::from(body))
            .unwrap()
    }

    /// Signs the hash of [`prompt`] for a class; the body is another matter.
    fn signed_synapse(&self, net: &Devnet, uid: u16, class: &str, body: &Value) -> Request<Full<Bytes>> {
        self.signed_over(net, uid, (class, HASH), body)
    }

    fn signed_over(&self, net: &Devnet, uid: u16, (class, hash): (&str, &str), body: &Value) -> Request<Full<Bytes>> {
        let nonce = self.nonce();
        let own = self.signer.address();
        let text = format!("{nonce}.{own}.{}.lane-1.{hash}", address(net, uid));
        Request::post(url(net, uid, &format!("/{class}")))
            .header("content-type", "application/json")
            .header("name", class)
            .header("timeout", "6.0")
            .header("bt_header_dendrite_version", "10005000")
            .header("bt_header_dendrite_nonce", nonce)
            .header("bt_header_dendrite_uuid", "lane-1")
            .header("bt_header_dendrite_hotkey", own)
            .header("bt_header_dendrite_signature", self.signer.sign_hex(text.as_bytes()))
            .header("bt_header_input_obj_roles", "W10=")
            .header("bt_header_input_obj_messages", "W10=")
            .header("computed_body_hash", hash)
            .body(Full::from(body.to_string()))
            .unwrap()
    }
}

/// The body hash of [`prompt`], computed by a real SDK.
const HASH: &str = "f6d4a8b32b1a8b56c4649d13888985125d32194c4472f8092c61e10c294c5411";
const ASKED: &str = r#"What is 1+1? Don't say "two"."#;

fn prompt() -> Value {
    json!({"roles": ["system", "user"], "messages": ["You are helpful.", ASKED], "completion": ""})
}

fn chat(stream: bool) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "one two three four"}], "stream": stream})
}

fn net(behaviours: &[Behaviour]) -> Devnet {
    let miners = u16::try_from(behaviours.len()).unwrap();
    let config = DevnetConfig { miners, behaviours: behaviours.to_vec(), record: 8, ..DevnetConfig::default() };
    Devnet::start(&config, NetUid(1)).unwrap()
}

fn url(net: &Devnet, uid: u16, path: &str) -> String {
    let metagraph = net.metagraph();
    format!("http://{}{path}", metagraph.neuron(Uid(uid)).unwrap().axon.unwrap())
}

fn address(net: &Devnet, uid: u16) -> String {
    net.metagraph().neuron(Uid(uid)).unwrap().hotkey.to_string()
}

async fn text(response: http::Response<Incoming>) -> String {
    let body = tokio::time::timeout(SOON, response.into_body().collect()).await.expect("in time").expect("whole");
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

async fn json_of(response: http::Response<Incoming>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

/// Joins the contents of a stream of events that ends with `[DONE]`.
fn joined(events: &str) -> String {
    let mut datas: Vec<&str> = events.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(datas.pop(), Some("[DONE]"));
    let content = |data: &&str| {
        let chunk: Value = serde_json::from_str(data).unwrap();
        chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
    };
    datas.iter().filter_map(content).collect()
}

#[test]
fn uid_0_and_the_three_best_of_the_default_echo() {
    let config = DevnetConfig::default();
    let net = Devnet::start(&config, NetUid(1)).unwrap();
    let metagraph = net.newest().unwrap();
    assert_eq!(metagraph.neurons().len(), 16);
    let best = &metagraph.by_incentive()[..3];
    assert_ne!(best, [Uid(0), Uid(1), Uid(2)], "the order of uids must not pass for that of incentives");
    for uid in best.iter().chain(&[Uid(0)]) {
        assert_eq!(behaviour(&config, uid.0), Behaviour::Echo);
    }
    assert!(metagraph.neurons().iter().all(|neuron| neuron.incentive.0 > 0));
}

#[test]
fn the_same_seed_gives_the_same_neurons() {
    let stakes = |seed| {
        let net = Devnet::start(&DevnetConfig { seed, ..DevnetConfig::default() }, NetUid(1)).unwrap();
        net.metagraph().neurons().iter().map(|neuron| (neuron.stake, neuron.coldkey)).collect::<Vec<_>>()
    };
    assert_eq!(stakes(7), stakes(7));
    assert_ne!(stakes(7), stakes(8));
}

#[test]
fn a_configuration_is_checked() {
    let refused = |config: DevnetConfig| Devnet::start(&config, NetUid(1)).unwrap_err().to_string();
    let config = DevnetConfig::default;
    assert_eq!(refused(DevnetConfig { miners: 0, ..config() }), "devnet.miners: must be from 1 to 256");
    assert!(
        refused(DevnetConfig { behaviours: vec![], ..config() }).starts_with("devnet.behaviours: is an empty list")
    );
}

#[test]
fn behaviours_are_written_by_name() {
    let text = "miners = 3\nbehaviours = [\"echo\", { slow = { ms = 5 } }, \"fail\"]\ntoken_gap = \"1s\"";
    let config: DevnetConfig = toml::from_str(text).unwrap();
    assert_eq!(config.behaviours, [Behaviour::Echo, Behaviour::Slow { ms: 5 }, Behaviour::Fail]);
    assert_eq!(config.token_gap, Duration::from_secs(1));
    let unknown = toml::from_str::<DevnetConfig>("miner = 3").unwrap_err().to_string();
    assert!(unknown.contains("unknown field `miner`"), "{unknown}");
}

#[tokio::test]
async fn a_signed_chat_is_echoed_whole_and_streamed() {
    let (net, validator) = (net(&[Behaviour::Echo]), Validator::new());
    let whole = validator.send(validator.signed_chat(&net, 0, &chat(false))).await;
    assert_eq!(whole.status(), StatusCode::OK);
    let whole = json_of(whole).await;
    assert_eq!(whole["choices"][0]["message"]["content"], "echo:one two three four");
    assert_eq!(whole["usage"]["total_tokens"], 8);
    let mut asked = chat(true);
    asked["stream_options"] = json!({"include_usage": true});
    let streamed = text(validator.send(validator.signed_chat(&net, 0, &asked)).await).await;
    assert_eq!(joined(&streamed), "echo:one two three four");
    assert!(streamed.contains(r#""choices":[],"usage":{"prompt_tokens":4"#), "{streamed}");
    assert_eq!(net.asked(Uid(0))[1].body, asked.to_string().as_bytes());
    assert_eq!(net.count(Uid(0)), 2);
}

#[tokio::test]
async fn what_is_not_signed_or_sent_twice_is_refused() {
    let (net, validator) = (net(&[Behaviour::Echo, Behaviour::Echo]), Validator::new());
    let unsigned = Request::post(url(&net, 0, CHAT)).body(Full::from(chat(false).to_string())).unwrap();
    let refused = validator.send(unsigned).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(text(refused).await.contains("MalformedAuth"));
    let request = validator.signed_chat(&net, 0, &chat(false));
    assert_eq!(validator.send(request.clone()).await.status(), StatusCode::OK);
    let replayed = validator.send(request.clone()).await;
    assert_eq!(replayed.status(), StatusCode::UNAUTHORIZED);
    assert!(text(replayed).await.contains("ReplayedRequest"));
    let mut elsewhere = request;
    *elsewhere.uri_mut() = url(&net, 1, CHAT).parse().unwrap();
    assert!(text(validator.send(elsewhere).await).await.contains("WrongReceiver"));
}

#[tokio::test]
async fn a_miner_of_openai_takes_any_key() {
    let config = DevnetConfig { miners: 1, protocols: vec![MinerSpeech::Openai], ..DevnetConfig::default() };
    let (net, validator) = (Devnet::start(&config, NetUid(1)).unwrap(), Validator::new());
    let request = Request::post(url(&net, 0, CHAT)).header("authorization", "Bearer x");
    let response = validator.send(request.body(Full::from(chat(false).to_string())).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let probe = validator.send(Request::post(url(&net, 0, "/x")).body(Full::default()).unwrap()).await;
    assert_eq!(json_of(probe).await, json!({"detail": "Not Found"}));
}

#[tokio::test]
async fn a_signed_synapse_is_echoed_with_the_prompt_and_the_headers() {
    let (net, validator) = (net(&[Behaviour::Echo]), Validator::new());
    for class in ["Prompting", "PromptingSynapse"] {
        let response = validator.send(validator.signed_synapse(&net, 0, class, &prompt())).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["bt_header_axon_status_message"], "Success");
        assert_eq!(response.headers()["bt_header_dendrite_uuid"], "lane-1");
        let synapse = json_of(response).await;
        assert_eq!(synapse["completion"], format!("echo:{ASKED}"));
        assert_eq!(synapse["messages"], prompt()["messages"]);
        assert_eq!(synapse["axon"]["status_code"], 200);
        assert_eq!(synapse.get("required_hash_fields").is_some(), class == "Prompting");
    }
}

#[tokio::test]
async fn a_streaming_class_sends_raw_text() {
    let (net, validator) = (net(&[Behaviour::Stream]), Validator::new());
    let request = validator.signed_synapse(&net, 0, "StreamPromptingSynapse", &prompt());
    let response = validator.send(request).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(text(response).await, format!("echo:{ASKED}"));
    let asked = net.until(Uid(0), |asked| asked[0].ending == Ending::Answered, SOON).await.unwrap();
    assert_eq!(asked[0].pieces, 6);
}

#[tokio::test]
async fn a_body_that_is_not_what_was_signed_is_an_internal_error() {
    let (net, validator) = (net(&[Behaviour::Echo]), Validator::new());
    let mut other = prompt();
    other["messages"][1] = json!("What is 1+2?");
    let mut wrong_type = prompt();
    wrong_type["roles"] = json!("user");
    for body in [other, wrong_type, json!({"messages": []})] {
        let response = validator.send(validator.signed_synapse(&net, 0, "PromptingSynapse", &body)).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let message = json_of(response).await["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("Internal Server Error #"), "{message}");
    }
    let mut request = validator.signed_synapse(&net, 0, "PromptingSynapse", &prompt());
    *request.body_mut() = Full::from("{");
    assert_eq!(validator.send(request).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_new_emoji_is_refused_by_an_older_python() {
    let mut asked = prompt();
    asked["messages"] = json!(["You are helpful.", "\u{1fa77}"]);
    // Hash of those messages by Python 3.12 and later, which shows the heart as it is.
    let repr = "['You are helpful.', '\u{1fa77}']";
    let hash = hex::encode(Sha3_256::digest(hex::encode(Sha3_256::digest(repr))));
    let config = DevnetConfig {
        miners: 2,
        pythons: vec![MinerPython::V3_11, MinerPython::V3_12],
        behaviours: vec![Behaviour::Echo],
        ..DevnetConfig::default()
    };
    let (net, validator) = (Devnet::start(&config, NetUid(1)).unwrap(), Validator::new());
    for (uid, status) in [(0, 500), (1, 200)] {
        let request = validator.signed_over(&net, uid, ("Prompting", &hash), &asked);
        assert_eq!(validator.send(request).await.status().as_u16(), status);
    }
}

#[tokio::test]
async fn an_unknown_class_lists_the_known_ones_to_anybody() {
    let (net, validator) = (net(&[Behaviour::Echo]), Validator::new());
    for method in [Method::GET, Method::POST] {
        let request = Request::builder().method(method).uri(url(&net, 0, "/x")).body(Full::default()).unwrap();
        let response = validator.send(request).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            json_of(response).await["message"],
            "Synapse name 'x' not found. Available synapses \
             ['Synapse', 'Prompting', 'PromptingSynapse', 'StreamPromptingSynapse']"
        );
    }
}

#[tokio::test]
async fn every_failure_has_its_status() {
    use Behaviour::{Blacklist, Busy, Empty, Fail, Lie, Midfail};
    let behaviours = [Fail, Busy, Blacklist, Empty, Lie, Midfail];
    let (net, validator) = (net(&behaviours), Validator::new());
    let expected = [(500, 500), (429, 408), (403, 403), (200, 200), (200, 200), (500, 500)];
    for (uid, (btauth, synapse)) in (0..).zip(expected) {
        let chat = validator.send(validator.signed_chat(&net, uid, &chat(false))).await;
        assert_eq!(chat.status().as_u16(), btauth, "uid {uid}");
        let prompting = validator.send(validator.signed_synapse(&net, uid, "Prompting", &prompt())).await;
        assert_eq!(prompting.status().as_u16(), synapse, "uid {uid}");
        let body = text(prompting).await;
        assert_eq!(serde_json::from_str::<Value>(&body).is_err(), behaviours[usize::from(uid)] == Lie, "{body}");
    }
}

#[tokio::test]
async fn midfail_drops_the_connection_after_three_words() {
    let (net, validator) = (net(&[Behaviour::Midfail]), Validator::new());
    let mut body = validator.send(validator.signed_chat(&net, 0, &chat(true))).await.into_body();
    let mut received = String::new();
    let ending = loop {
        match tokio::time::timeout(SOON, body.frame()).await.expect("in time") {
            Some(Ok(frame)) => received.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap()),
            ending => break ending,
        }
    };
    assert!(matches!(ending, Some(Err(_))), "an end in order: {ending:?}");
    assert!(received.contains("three") && !received.contains("four"), "{received}");
    assert_eq!(net.asked(Uid(0))[0].ending, Ending::Cut);
}

#[tokio::test]
async fn a_caller_that_leaves_is_noticed() {
    let (net, validator) = (net(&[Behaviour::Hang, Behaviour::Gated]), Validator::new());
    let waiting = tokio::spawn(validator.client.request(validator.signed_chat(&net, 0, &chat(false))));
    net.until(Uid(0), |asked| asked.len() == 1, SOON).await.expect("it was asked");
    waiting.abort();
    let asked = net.until(Uid(0), |asked| asked[0].ending == Ending::Cancelled, SOON).await;
    assert!(asked.is_some(), "{:?}", net.asked(Uid(0)));
    // In the middle of a stream.
    let streaming = validator.send(validator.signed_chat(&net, 1, &chat(true))).await;
    drop(streaming);
    let asked = net.until(Uid(1), |asked| asked[0].ending == Ending::Cancelled, SOON).await;
    assert!(asked.is_some(), "{:?}", net.asked(Uid(1)));
}

#[tokio::test]
async fn a_gated_miner_waits_for_each_word() {
    let (net, validator) = (net(&[Behaviour::Gated]), Validator::new());
    let request = validator.signed_synapse(&net, 0, "StreamPromptingSynapse", &prompt());
    let mut body = validator.send(request).await.into_body();
    for word in ["echo:What ", "is ", "1+1? ", "Don't ", "say ", "\"two\"."] {
        net.release(Uid(0), 1);
        let frame = tokio::time::timeout(SOON, body.frame()).await.expect("in time").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
    assert!(tokio::time::timeout(SOON, body.frame()).await.expect("in time").is_none());
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    use tokio::io::AsyncReadExt;
    let config = DevnetConfig { miners: 1, keep_alive: Duration::from_millis(30), ..DevnetConfig::default() };
    let net = Devnet::start(&config, NetUid(1)).unwrap();
    let at = net.metagraph().neuron(Uid(0)).unwrap().axon.unwrap();
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let read = tokio::time::timeout(SOON, stream.read(&mut [0])).await.expect("in time");
    assert_eq!(read.unwrap(), 0);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let config = DevnetConfig { miners: 1, connections: 1, ..DevnetConfig::default() };
    let (net, validator) = (Devnet::start(&config, NetUid(1)).unwrap(), Validator::new());
    let at = net.metagraph().neuron(Uid(0)).unwrap().axon.unwrap();
    let first = tokio::net::TcpStream::connect(at).await.unwrap();
    let second = tokio::spawn(validator.client.request(validator.signed_chat(&net, 0, &chat(false))));
    drop(first);
    let answer = tokio::time::timeout(SOON, second).await.expect("in time").unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[test]
fn the_miners_stop_with_the_devnet() {
    let net = net(&[Behaviour::Echo]);
    let at = net.metagraph().neuron(Uid(0)).unwrap().axon.unwrap();
    std::net::TcpStream::connect(at).unwrap();
    drop(net);
    std::net::TcpStream::connect(at).unwrap_err();
}
