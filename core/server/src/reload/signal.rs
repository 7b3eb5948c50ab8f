//! SIGHUP reloads.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::error;

use super::{Reloader, Trigger};

/// Signals that wait to be followed; from its making on, SIGHUP ends the process no more.
#[derive(Debug)]
pub(crate) struct Hangups(Signal);

impl Hangups {
    /// Listens, on a runtime.
    ///
    /// # Errors
    ///
    /// The signal cannot be listened to.
    pub(crate) fn listen(runtime: &Runtime) -> std::io::Result<Self> {
        let _entered = runtime.enter();
        signal(SignalKind::hangup()).map(Self)
    }

    /// Reloads at every SIGHUP as long as the runtime lives; signals that come during a reload are one more.
    pub(crate) fn follow(self, runtime: &Runtime, reloader: &Arc<Reloader>) {
        let (Self(mut hangups), reloader) = (self, Arc::clone(reloader));
        runtime.spawn(async move {
            while hangups.recv().await.is_some() {
                let reloader = Arc::clone(&reloader);
                let done = tokio::task::spawn_blocking(move || reloader.reload(Trigger::Hangup)).await;
                if let Err(error) = done {
                    error!(error = %error, "a reload has died; what served goes on serving");
                }
            }
        });
    }
}
