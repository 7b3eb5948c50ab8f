use btvep_domain::{Delta, Hotkey, MinerFailure, Uid, Usage};

/// A miner's answer as it comes. Dropping it cancels the attempt: the miner's connection is closed at once.
#[derive(Debug)]
pub struct MinerStream {
    uid: Option<Uid>,
    hotkey: Option<Hotkey>,
    usage: Option<Usage>,
}

impl MinerStream {
    /// Returns the next fragment; none when the answer has ended in order. After an error nothing more comes.
    #[expect(clippy::unused_async, reason = "the body comes with the transport")]
    pub async fn next(&mut self) -> Option<Result<Delta, MinerFailure>> {
        None
    }

    /// Returns the token counts, once the miner has given them.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Returns who answers; none for an upstream.
    pub fn uid(&self) -> Option<Uid> {
        self.uid
    }

    /// Returns its hotkey; none for an upstream.
    pub fn hotkey(&self) -> Option<Hotkey> {
        self.hotkey
    }
}
