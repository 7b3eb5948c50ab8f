/// Why the files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The process starts.
    Start,
    /// A file has changed.
    Files,
    /// SIGHUP.
    Hangup,
    /// The operator asks.
    Command,
    /// The operator asks for one that served before.
    Rollback,
}

impl Trigger {
    /// Returns its name in status and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Files => "files",
            Self::Hangup => "sighup",
            Self::Command => "command",
            Self::Rollback => "rollback",
        }
    }
}
