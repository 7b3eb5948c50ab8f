//! A native miner for load: answers every POST with the same 462 bytes, as an OpenAI upstream or behind btauth.
//!
//! It looks at one signature in `--sample`, so that it stays far cheaper than what it measures. `GET /stats` tells what
//! it has seen.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use btvep_benches::exchange::ANSWER;
use btvep_benches::signed::{Head, verifies};
use btvep_domain::Hotkey;
use btvep_protocol::signer::Signer;
use bytes::{Buf, BytesMut};
use clap::Parser;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The largest head and body it buffers.
const LIMIT: usize = 1 << 20;

#[derive(Debug, Parser)]
struct Arguments {
    /// Where it listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The key URI of its hotkey.
    #[arg(long, default_value = "//BenchMiner")]
    uri: String,
    /// Of so many signed requests one is verified.
    #[arg(long, default_value_t = 64)]
    sample: u64,
    /// Milliseconds before each answer.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
}

#[derive(Debug)]
struct Mock {
    hotkey: Hotkey,
    sample: u64,
    delay: Duration,
    answer: Vec<u8>,
    requests: AtomicU64,
    signed: AtomicU64,
    verified: AtomicU64,
    refused: AtomicU64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let signer = match Signer::from_uri(&arguments.uri) {
        Ok(signer) => signer,
        Err(error) => return fail(&error),
    };
    let mock = Arc::new(Mock {
        hotkey: signer.hotkey(),
        sample: arguments.sample.max(1),
        delay: Duration::from_millis(arguments.delay_ms),
        answer: response("200 OK", ANSWER),
        requests: AtomicU64::new(0),
        signed: AtomicU64::new(0),
        verified: AtomicU64::new(0),
        refused: AtomicU64::new(0),
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(serve(mock, arguments.listen)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("mock: {error}");
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "the harness reads the address from the first line")]
async fn serve(mock: Arc<Mock>, at: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(at).await?;
    println!("{} {}", listener.local_addr()?, mock.hotkey);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mock = Arc::clone(&mock);
        // A connection that fails is the contender's business; it shows in the counts.
        tokio::spawn(async move { converse(&mock, stream).await });
    }
}

async fn converse(mock: &Mock, mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        while let Some((head, length)) = request(&buffer) {
            let answer = mock.answer(&buffer, head, length);
            if !mock.delay.is_zero() {
                tokio::time::sleep(mock.delay).await;
            }
            match answer {
                Some(answer) => stream.write_all(&answer).await?,
                None => stream.write_all(&mock.answer).await?,
            }
            buffer.advance(length);
        }
        if buffer.len() > LIMIT || stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// Returns where the head ends and the length of the whole request, once it is all there.
fn request(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let length = content_length(buffer.get(..head)?).unwrap_or(0);
    let whole = head.checked_add(length)?;
    (buffer.len() >= whole).then_some((head, whole))
}

/// Reads the header by hand: this runs for every request, and nothing else of the head matters then.
fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\ncontent-length:";
    let place = head.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME))? + NAME.len();
    let rest = head.get(place..)?;
    let line = rest.get(..memchr::memchr(b'\r', rest)?)?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

impl Mock {
    /// Counts the request and checks it, if it is its turn. None stands for the usual answer.
    fn answer(&self, buffer: &[u8], head: usize, whole: usize) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(buffer.get(..head)?).ok()?;
        if text.starts_with("GET ") {
            return Some(response("200 OK", &self.stats()));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        memmem::find(text.as_bytes(), b"x-bittensor-signature")?;
        let number = self.signed.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(self.sample) {
            return None;
        }
        if verifies(Head(text), buffer.get(head..whole)?, &self.hotkey) {
            self.verified.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Some(response("401 Unauthorized", r#"{"detail":"BadSignature"}"#))
    }

    fn stats(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        serde_json::json!({
            "requests": count(&self.requests), "signed": count(&self.signed),
            "verified": count(&self.verified), "refused": count(&self.refused),
        })
        .to_string()
    }
}

fn response(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
