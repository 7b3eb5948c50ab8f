/// The store cannot keep a promise now. For a client this is always a 503, never a 401 and never a free answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The write or sync failed; paid work is shut until the store has recovered.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A record cannot be read back.
    #[error("the store holds a damaged record: {0}")]
    Corrupt(String),
    /// The store is owned by another process.
    #[error("the store is in use by another process; stop it, or talk to it over its admin socket: {0}")]
    Locked(String),
}
