use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;

use crate::api::Shared;
use crate::front::Front;

/// Counts the connections of the API, and closes those that are too many before a byte of them is read.
///
/// Pingora has shaken hands by then, where there is TLS; who never does is cut off after a minute.
pub(crate) struct Door {
    front: Arc<Front>,
    shared: Arc<Shared>,
    /// Whatever is configured: the process may have no more files open, and miners need connections, too.
    most: usize,
}

impl Door {
    pub(crate) fn new(front: Front, shared: Arc<Shared>) -> Self {
        Self { front: Arc::new(front), shared, most: open_files().map_or(usize::MAX, |files| (files / 2).max(1)) }
    }
}

#[async_trait]
impl ServerApp for Door {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _connection = self.shared.serve.connect(self.most)?;
        self.front.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.front.cleanup().await;
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("most", &self.most).finish_non_exhaustive()
    }
}

/// Returns how many files the process may have open; none where Linux does not say, or there is no limit.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
