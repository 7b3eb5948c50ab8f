use std::sync::Arc;
use std::time::Duration;

use btvep_engine::{COPIES, Place, Shed};
use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType};

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is larger than allowed.
    TooLarge,
    /// The server has no memory left for it.
    Shed(Shed),
    /// It did not arrive in time.
    Late,
    /// Its framing is broken.
    Broken,
    /// The connection died.
    Gone(Box<Error>),
}

/// Returns the length that a body says it has, 0 when it does not say.
pub(crate) fn declared(session: &ServerSession, limit: usize) -> Result<usize, Unread> {
    match declared_length(session) {
        Some(length) if length > limit => Err(Unread::TooLarge),
        length => Ok(length.unwrap_or_default()),
    }
}

/// Reads a body of at most `limit` bytes; `place` has room for the `declared` ones.
pub(crate) async fn read(
    session: &mut ServerSession,
    (limit, declared): (usize, usize),
    within: Duration,
    place: &Arc<Place>,
) -> Result<Bytes, Unread> {
    if expects_continue(session) {
        // To Pingora any answer before the end of the body is a reason to close; this one is not.
        let keep_alive = session.get_keepalive();
        session.write_continue_response().await.map_err(Unread::Gone)?;
        session.set_keepalive(keep_alive);
    }
    match tokio::time::timeout(within, collect(session, limit, declared, place)).await {
        Ok(read) => read,
        Err(_) => Err(Unread::Late),
    }
}

async fn collect(
    session: &mut ServerSession,
    limit: usize,
    declared: usize,
    place: &Arc<Place>,
) -> Result<Bytes, Unread> {
    let mut memory = place.account();
    let mut count = |seen: usize| match seen {
        seen if seen > limit => Err(Unread::TooLarge),
        seen => memory.grow_to(COPIES * seen.saturating_sub(declared)).map_err(Unread::Shed),
    };
    let Some(first) = next(session).await? else { return Ok(Bytes::new()) };
    count(first.len())?;
    // Most bodies come in one piece, which then is passed on as it is.
    let Some(second) = next(session).await? else {
        memory.keep();
        return Ok(first);
    };
    let mut whole = BytesMut::with_capacity(declared.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        count(whole.len() + bytes.len())?;
        whole.extend_from_slice(&bytes);
        piece = next(session).await?;
    }
    memory.keep();
    Ok(whole.freeze())
}

async fn next(session: &mut ServerSession) -> Result<Option<Bytes>, Unread> {
    session.read_request_body().await.map_err(|error| match error.etype() {
        ErrorType::ReadTimedout => Unread::Late,
        ErrorType::ReadError | ErrorType::ConnectionClosed | ErrorType::H2Error => Unread::Gone(error),
        _ => Unread::Broken,
    })
}

/// Reads and forgets at most `most` bytes, so that the client gets to read its answer; returns whether that was all.
pub(crate) async fn discard(session: &mut ServerSession, most: usize, within: Duration) -> bool {
    // A client that waits to be asked for its body has not sent it.
    if session.is_body_done() || expects_continue(session) {
        return session.is_body_done();
    }
    let reading = async {
        let mut seen = 0;
        while seen <= most {
            match session.read_request_body().await {
                Ok(Some(bytes)) => seen += bytes.len(),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        false
    };
    tokio::time::timeout(within, reading).await.unwrap_or(false)
}

fn declared_length(session: &ServerSession) -> Option<usize> {
    session.get_header(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn expects_continue(session: &ServerSession) -> bool {
    let head = session.req_header();
    let expects = head.headers.get(header::EXPECT).is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    expects && head.version >= Version::HTTP_11
}
