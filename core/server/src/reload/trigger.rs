/// Why the files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The process starts.
    Start,
    /// SIGHUP.
    Hangup,
    /// The operator asks.
    Command,
}

impl Trigger {
    /// Returns its name in status and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Hangup => "sighup",
            Self::Command => "command",
        }
    }
}
