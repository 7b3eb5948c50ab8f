use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::debug;

use crate::miner::Miner;

/// A pause after a failed accept: out of descriptors, the next attempt would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a miner for ever; connections beyond the limit wait in the listener's queue.
pub(crate) async fn serve(miner: Arc<Miner>, listener: TcpListener) {
    let free = Arc::new(Semaphore::new(miner.config.connections as usize));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let miner = Arc::clone(&miner);
                tokio::spawn(async move {
                    converse(miner, stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                debug!(uid = miner.uid, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(miner: Arc<Miner>, stream: TcpStream) {
    // Words of a stream must leave one by one.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(uid = miner.uid, %error, "no delay could not be set");
    }
    let keep_alive = miner.config.keep_alive;
    let uid = miner.uid;
    let service = service_fn(move |request| {
        let miner = Arc::clone(&miner);
        async move { Ok::<_, Infallible>(miner.respond(request).await) }
    });
    // The wait for a head begins when the connection falls idle, so this is the idle limit too.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(keep_alive)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(uid, %error, "connection ended early");
    }
}
