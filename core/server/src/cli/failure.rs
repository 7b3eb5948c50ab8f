//! Why a command did not do its work: one sentence for the person who typed it.

use std::error::Error;
use std::fmt;

/// A command's failure; ends the program with status 1.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// Takes the sentence.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
