use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use btvep_engine::{Attribution, StreamEvent};
use btvep_protocol::surface::openai::ChunkWriter;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version, header};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::answer::{attribute, head, put};
use crate::errors;
use crate::request::Asked;

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const PING: &[u8] = b": ping\n\n";

/// Fragments that wait already are written together up to this size.
const TOGETHER: usize = 16 * 1024;

/// A streamed answer on its way out.
pub(crate) struct Stream<'a> {
    /// The fragments.
    pub(crate) events: mpsc::Receiver<StreamEvent>,
    /// What is known before the first byte.
    pub(crate) attribution: &'a Attribution,
    /// Whether a usage chunk was asked for.
    pub(crate) include_usage: bool,
    /// Set once a fragment has left.
    pub(crate) left: Arc<AtomicBool>,
    /// Silence after which a comment is sent.
    pub(crate) ping: Duration,
}

/// Writes a stream to its end. An error means that the client is gone or stalled; dropping the receiver tells the
/// engine.
pub(crate) async fn write(session: &mut ServerSession, asked: &Asked, mut stream: Stream<'_>) -> Result<u16> {
    session.write_response_header(Box::new(stream_head(session, asked, &stream)?)).await?;
    let mut chunks = Some(ChunkWriter::new(stream.attribution, asked.created(), stream.include_usage));
    // Twice per silence, so that no silence is longer than asked for.
    let half = stream.ping / 2;
    let mut tick = interval_at(Instant::now() + half, half);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = false;
    while chunks.is_some() {
        let mut out = Vec::new();
        let mut fragment = false;
        tokio::select! {
            biased;
            event = stream.events.recv() => fragment = gather(&mut chunks, event, &mut stream.events, asked, &mut out),
            gone = session.read_body_or_idle(true) => return Err(left(gone)),
            _ = tick.tick() => if std::mem::replace(&mut silent, true) { out.extend_from_slice(PING) },
        }
        if chunks.is_none() {
            session.write_response_body(out.into(), true).await?;
        } else if !out.is_empty() {
            silent = false;
            session.write_response_body(Bytes::from(out), false).await?;
        }
        if fragment {
            stream.left.store(true, Ordering::Release);
        }
    }
    Ok(200)
}

fn stream_head(session: &ServerSession, asked: &Asked, stream: &Stream<'_>) -> Result<pingora::http::ResponseHeader> {
    let mut head = head(asked, 200, &EVENTS)?;
    put(&mut head, header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    put(&mut head, BUFFERING, HeaderValue::from_static("no"));
    // Without it Pingora ends the body by closing the connection. HTTP/1.0 knows nothing else.
    if session.req_header().version == Version::HTTP_11 {
        put(&mut head, header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    attribute(&mut head, asked, stream.attribution);
    Ok(head)
}

/// Appends an event and those that wait behind it; returns whether a fragment was among them. Takes the writer when
/// the stream has ended.
fn gather(
    chunks: &mut Option<ChunkWriter>,
    event: Option<StreamEvent>,
    events: &mut mpsc::Receiver<StreamEvent>,
    asked: &Asked,
    out: &mut Vec<u8>,
) -> bool {
    let mut fragment = false;
    let mut next = Some(event);
    while let Some(event) = next {
        match event {
            Some(StreamEvent::Delta(delta, _memory)) => {
                fragment = true;
                if let Some(chunks) = chunks {
                    chunks.delta(&delta, out);
                }
            }
            Some(StreamEvent::End { attribution, usage }) => {
                if let Some(chunks) = chunks.take() {
                    chunks.end(asked.tells_of(&attribution).then_some(&attribution), usage, out);
                }
            }
            Some(StreamEvent::Failed { rejection, attribution }) => {
                if let Some(chunks) = chunks.take() {
                    chunks.failed(&rejection, asked.tells_of(&attribution).then_some(&attribution), out);
                }
            }
            // The engine ends every stream in one of those two ways, unless its task has died.
            None => {
                if let Some(chunks) = chunks.take() {
                    chunks.failed(&errors::internal(), None, out);
                }
            }
        }
        let more = chunks.is_some() && out.len() < TOGETHER;
        next = if more { events.try_recv().ok().map(Some) } else { None };
    }
    fragment
}

/// Returns the error of a client that left.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed everywhere")]
pub(crate) fn left(gone: Result<Option<Bytes>>) -> Box<Error> {
    match gone {
        Err(error) => error,
        Ok(_) => Error::explain(ErrorType::ConnectionClosed, "the client left"),
    }
}
