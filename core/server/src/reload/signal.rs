//! SIGHUP reloads.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;

use super::{Reloader, Trigger};

/// Reloads at every SIGHUP as long as the runtime lives; signals that come during a reload are one more.
///
/// # Errors
///
/// The signal cannot be listened to.
pub(crate) fn follow_hangups(runtime: &Runtime, reloader: &Arc<Reloader>) -> std::io::Result<()> {
    let _entered = runtime.enter();
    let mut hangups = signal(SignalKind::hangup())?;
    let reloader = Arc::clone(reloader);
    runtime.spawn(async move {
        while hangups.recv().await.is_some() {
            let reloader = Arc::clone(&reloader);
            let done = tokio::task::spawn_blocking(move || reloader.reload(Trigger::Hangup)).await;
            if let Err(error) = done {
                error!(error = %error, "a reload has died; what served goes on serving");
            }
        }
    });
    Ok(())
}
