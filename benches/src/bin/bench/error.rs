use std::path::PathBuf;

/// Why a measurement cannot be made or is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A program is missing or does not start.
    #[error("cannot start `{program}`: {source}; `scripts/system.sh build bench` installs what the bench needs")]
    Start {
        /// Which one.
        program: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A program ended, or said what cannot be read.
    #[error("`{program}` failed: {said}")]
    Program {
        /// Which one.
        program: String,
        /// Its last words.
        said: String,
    },
    /// A contender does not answer.
    #[error("{0} did not answer a prompt within 20 s; its output is in {1}")]
    NotReady(String, PathBuf),
    /// Answers were no 2xx, or connections broke.
    #[error("{0}: {1} of {2} requests failed")]
    Failures(String, u64, u64),
    /// The machine does other work.
    #[error(
        "other programs used {0:.0} % of the machine in every attempt at a window; run the bench on an idle machine"
    )]
    Busy(f64),
    /// A file of the system or of our own cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A number that must be somewhere is not there.
    #[error("no {0} found in {1}")]
    Missing(&'static str, String),
}

impl BenchError {
    /// Names the file that failed.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

pub(crate) type Result<T> = std::result::Result<T, BenchError>;
