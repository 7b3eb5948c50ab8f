use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType};

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is larger than allowed.
    TooLarge,
    /// It did not arrive in time.
    Late,
    /// Its framing is broken.
    Broken,
    /// The connection died.
    Gone(Box<Error>),
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(session: &mut ServerSession, limit: usize, within: Duration) -> Result<Bytes, Unread> {
    let declared = declared_length(session);
    if declared.is_some_and(|length| length > limit) {
        return Err(Unread::TooLarge);
    }
    if expects_continue(session) {
        // To Pingora any answer before the end of the body is a reason to close; this one is not.
        let keep_alive = session.get_keepalive();
        session.write_continue_response().await.map_err(Unread::Gone)?;
        session.set_keepalive(keep_alive);
    }
    match tokio::time::timeout(within, collect(session, limit, declared.unwrap_or_default())).await {
        Ok(read) => read,
        Err(_) => Err(Unread::Late),
    }
}

async fn collect(session: &mut ServerSession, limit: usize, declared: usize) -> Result<Bytes, Unread> {
    let Some(first) = next(session).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(Unread::TooLarge);
    }
    // Most bodies come in one piece, which then is passed on as it is.
    let Some(second) = next(session).await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(declared.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        if whole.len() + bytes.len() > limit {
            return Err(Unread::TooLarge);
        }
        whole.extend_from_slice(&bytes);
        piece = next(session).await?;
    }
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
