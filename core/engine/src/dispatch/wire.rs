use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that knows whose turn it is, so that an error tells whether the miner has answered at all.
#[derive(Debug)]
pub(super) struct Wire<T> {
    inner: TokioIo<T>,
    turn: Turn,
}

/// Whose turn it is on an HTTP/1 connection; shared with the errors on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether the last bytes were ours.
    ours: AtomicBool,
    /// How often we began to speak: once for each request.
    requests: AtomicU32,
}

impl Turn {
    /// Whether the connection has served a request before and not a byte has come back for the newest one.
    pub(super) fn was_reused_in_vain(&self) -> bool {
        self.0.requests.load(Ordering::Relaxed) > 1 && self.0.ours.load(Ordering::Relaxed)
    }

    fn spoke(&self) {
        if !self.0.ours.swap(true, Ordering::Relaxed) {
            self.0.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn heard(&self) {
        self.0.ours.store(false, Ordering::Relaxed);
    }
}

impl<T> Wire<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner: TokioIo::new(inner), turn: Turn::default() }
    }

    fn noting(&self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(wrote, Poll::Ready(Ok(1..))) {
            self.turn.spoke();
        }
        wrote
    }
}

impl<T: Connection> Connection for Wire<T> {
    fn connected(&self) -> Connected {
        self.inner.inner().connected().extra(self.turn.clone())
    }
}

impl<T: hyper::rt::Read + Unpin> AsyncRead for Wire<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.turn.heard();
        }
        read
    }
}

impl<T: hyper::rt::Write + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.noting(wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.noting(wrote)
    }
}
