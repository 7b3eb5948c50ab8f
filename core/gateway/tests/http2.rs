//! HTTP/2, with and without TLS.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use btvep_engine::{Reply, StreamEvent, Taken};
use btvep_gateway::{Certificate, TlsConfig};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Version};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use support::{Running, attribution, prompt, soon, stream_prompt, token};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

fn request(base: &str, body: String) -> Request<Full<Bytes>> {
    Request::post(format!("{base}/v1/chat/completions"))
        .header("authorization", "Bearer good")
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn h2c(gateway: &Running) -> Sender {
    let io = TokioIo::new(TcpStream::connect(gateway.public).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn many_prompts_share_a_connection_without_tls() {
    let gateway = Running::start(|config| config.listen.h2c = true);
    let sender = h2c(&gateway).await;
    let asks = (0..50).map(|nth| {
        let mut sender = sender.clone();
        tokio::spawn(async move {
            let text = format!("echo {nth}");
            let response = sender.send_request(request("http://x", prompt(&text))).await.unwrap();
            assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["choices"][0]["message"]["content"], text);
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        soon(ask).await.unwrap();
    }
    // The same port still speaks HTTP/1.1.
    assert_eq!(gateway.connect().await.ask(support::chat(&prompt("echo"))).await.status, 200);
}

#[tokio::test]
async fn a_stream_over_http2_is_unbuffered_and_can_be_left() {
    let mut gateway = Running::start(|config| config.listen.h2c = true);
    let mut sender = h2c(&gateway).await;
    let asking = tokio::spawn(async move {
        let response = sender.send_request(request("http://x", stream_prompt())).await.unwrap();
        (sender, response)
    });
    let (incoming, reply) = gateway.next().await;
    let (events, receiver) = mpsc::channel(4);
    let left = Arc::new(AtomicBool::new(false));
    let attribution = attribution(&incoming);
    reply.send(Reply::Stream { events: receiver, attribution, include_usage: false, left }).unwrap();
    let (_sender, mut response) = soon(asking).await.unwrap();
    assert_eq!(response.headers().get("transfer-encoding"), None);
    for text in ["a", "b"] {
        events.send(StreamEvent::Delta(token(text), Taken::default())).await.unwrap();
        let frame = soon(response.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert!(std::str::from_utf8(&frame).unwrap().contains(&format!("\"content\":\"{text}\"")));
    }
    drop(response);
    soon(events.closed()).await;
}

#[tokio::test]
async fn a_large_body_is_refused_over_http2() {
    let gateway = Running::start(|config| config.listen.h2c = true);
    let mut sender = h2c(&gateway).await;
    let response = soon(sender.send_request(request("http://x", "x".repeat(3 << 20)))).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(soon(sender.send_request(request("http://x", prompt("echo")))).await.unwrap().status(), StatusCode::OK);
}

/// Makes a certificate for localhost and writes its files; returns it for the client to trust.
fn certificate(folder: &Path) -> (TlsConfig, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = TlsConfig { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&config.cert, made.cert.pem()).unwrap();
    std::fs::write(&config.key, made.signing_key.serialize_pem()).unwrap();
    (config, made.cert.der().clone())
}

async fn ask_tls(gateway: &Running, trusted: &CertificateDer<'static>, h2: bool) -> Result<Version, String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1();
    let connector = if h2 { connector.enable_http2().build() } else { connector.build() };
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let base = format!("https://localhost:{}", gateway.public.port());
    let response = soon(client.request(request(&base, prompt("echo tls")))).await.map_err(|e| format!("{e:?}"))?;
    assert_eq!(response.status(), StatusCode::OK);
    Ok(response.version())
}

#[tokio::test]
async fn tls_offers_both_versions_and_takes_a_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, first) = certificate(folder.path());
    let gateway = Running::start(|config| config.listen.tls = Some(tls.clone()));
    assert_eq!(ask_tls(&gateway, &first, true).await, Ok(Version::HTTP_2));
    assert_eq!(ask_tls(&gateway, &first, false).await, Ok(Version::HTTP_11));
    let (_, second) = certificate(folder.path());
    ask_tls(&gateway, &second, true).await.unwrap_err();
    let fresh = Certificate::read(&tls).unwrap();
    gateway.certificate.as_ref().unwrap().replace(fresh);
    assert_eq!(ask_tls(&gateway, &second, true).await, Ok(Version::HTTP_2));
}
