use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::sync::Semaphore;

use crate::Ending;
use crate::record::Entry;
use crate::script::Speech;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Cut>;

/// A miner's answer.
pub(crate) type Response = http::Response<Body>;

/// Ends a body so that the connection is dropped in its middle.
#[derive(Debug, thiserror::Error)]
#[error("the miner drops the connection, as its behaviour says")]
pub(crate) struct Cut;

/// A piece of a streamed answer as it goes on the wire.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Its bytes.
    pub(crate) bytes: Bytes,
    /// Whether it carries text: only such pieces are paused, released and counted.
    pub(crate) word: bool,
}

/// Returns a whole answer.
pub(crate) fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    with_type(status, content_type, body)
}

/// Returns an answer whose head leaves at once and whose body never comes.
pub(crate) fn silence(content_type: &'static str) -> Response {
    let body = StreamBody::new(stream::pending()).boxed_unsync();
    with_type(StatusCode::OK, content_type, body)
}

/// Returns an answer that says the pieces in the manner of the speech; each gated word takes a permit of the gate.
pub(crate) fn spoken(
    content_type: &'static str,
    pieces: Vec<Piece>,
    speech: &Speech,
    gate: &Arc<Semaphore>,
) -> Response {
    let telling = Telling {
        pieces: pieces.into_iter(),
        said: 0,
        begun: false,
        speech: Speech { text: String::new(), ..speech.clone() },
        gate: Arc::clone(gate),
    };
    let frames = stream::unfold(Some(telling), |telling| async move { telling?.next().await });
    with_type(StatusCode::OK, content_type, StreamBody::new(frames).boxed_unsync())
}

fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A stream in progress.
struct Telling {
    pieces: std::vec::IntoIter<Piece>,
    said: usize,
    begun: bool,
    speech: Speech,
    gate: Arc<Semaphore>,
}

impl Telling {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Cut>, Option<Self>)> {
        if !self.begun {
            self.begun = true;
            tokio::time::sleep(self.speech.wait).await;
        }
        let piece = self.pieces.next();
        if self.is_cut_before(piece.as_ref()) {
            // Lets the connection send what it holds; the error would throw it away.
            tokio::task::yield_now().await;
            return Some((Err(Cut), None));
        }
        let piece = piece?;
        if piece.word {
            self.pause().await;
            self.said += 1;
        }
        Some((Ok(Frame::data(piece.bytes)), Some(self)))
    }

    fn is_cut_before(&self, piece: Option<&Piece>) -> bool {
        let words_are_over = !piece.is_some_and(|piece| piece.word) && self.said > 0;
        self.speech.cut_after.is_some_and(|after| self.said >= after || words_are_over)
    }

    async fn pause(&self) {
        if self.said > 0 && !self.speech.gap.is_zero() {
            tokio::time::sleep(self.speech.gap).await;
        }
        self.speech.released(&self.gate).await;
    }
}

/// A body that notes in the record how it ends.
#[derive(Debug)]
pub(crate) struct Observed {
    body: Body,
    entry: Entry,
}

/// Adds the record's line to an answer.
pub(crate) fn observed(response: Response, entry: Entry) -> Response {
    entry.status(response.status().as_u16());
    response.map(|body| {
        if body.is_end_stream() {
            entry.ends(Ending::Answered);
            return Empty::new().map_err(|never| match never {}).boxed_unsync();
        }
        Observed { body, entry }.boxed_unsync()
    })
}

impl hyper::body::Body for Observed {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => {
                self.entry.piece();
                // A body of known length is not asked again after its last byte.
                if self.body.is_end_stream() {
                    self.entry.ends(Ending::Answered);
                }
            }
            Some(Err(Cut)) => self.entry.ends(Ending::Cut),
            None => self.entry.ends(Ending::Answered),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
