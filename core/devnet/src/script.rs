use std::time::Duration;

use tokio::sync::Semaphore;

use crate::{Behaviour, DevnetConfig};

const CANNED: &str = "The quick brown fox jumps over the lazy dog.";

/// Words that `midfail` sends before it drops the connection.
const BEFORE_CUT: usize = 3;

/// What a miner is going to do with one accepted prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Answer with a text.
    Say(Speech),
    /// 500.
    Fail,
    /// Never answer.
    Hang,
    /// 200 with garbage.
    Lie,
    /// Refuse the caller.
    Refuse,
    /// Too busy.
    Busy,
}

/// A text and the manner of saying it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speech {
    /// The whole text.
    pub(crate) text: String,
    /// Before the first byte of the body.
    pub(crate) wait: Duration,
    /// Before each further piece of a stream.
    pub(crate) gap: Duration,
    /// Each piece waits to be released.
    pub(crate) gated: bool,
    /// The connection is dropped after so many pieces.
    pub(crate) cut_after: Option<usize>,
}

impl Script {
    /// Returns what the behaviour makes of a prompt. `last` is its last user message.
    pub(crate) fn of(behaviour: Behaviour, config: &DevnetConfig, last: &str, stream: bool) -> Self {
        let echo = Speech {
            text: format!("echo:{last}"),
            wait: Duration::ZERO,
            gap: Duration::ZERO,
            gated: false,
            cut_after: None,
        };
        match behaviour {
            Behaviour::Echo => Self::Say(echo),
            Behaviour::Canned => Self::Say(Speech { text: CANNED.to_owned(), ..echo }),
            Behaviour::Slow { ms } => Self::Say(Speech { wait: Duration::from_millis(ms), ..echo }),
            Behaviour::Stream => Self::Say(Speech { gap: config.token_gap, ..echo }),
            Behaviour::Gated => Self::Say(Speech { gated: true, ..echo }),
            Behaviour::Empty => Self::Say(Speech { text: String::new(), ..echo }),
            Behaviour::Midfail if stream => Self::Say(Speech { cut_after: Some(BEFORE_CUT), ..echo }),
            Behaviour::Midfail | Behaviour::Fail => Self::Fail,
            Behaviour::Hang => Self::Hang,
            Behaviour::Lie => Self::Lie,
            Behaviour::Blacklist => Self::Refuse,
            Behaviour::Busy => Self::Busy,
        }
    }
}

impl Speech {
    /// Waits until a whole answer may be given.
    pub(crate) async fn ready(&self, gate: &Semaphore) {
        tokio::time::sleep(self.wait).await;
        self.released(gate).await;
    }

    /// Waits for the next permit, where each piece needs one.
    pub(crate) async fn released(&self, gate: &Semaphore) {
        if self.gated
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
    }

    /// Returns the text in pieces that end after each space; joined they are the text. None when it is empty.
    pub(crate) fn pieces(&self) -> Vec<String> {
        self.text.split_inclusive(' ').map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_the_text() {
        let Script::Say(speech) = Script::of(Behaviour::Echo, &DevnetConfig::default(), " a  b\nc ", true) else {
            panic!("echo says something");
        };
        assert_eq!(speech.pieces().concat(), "echo: a  b\nc ");
        assert_eq!(speech.pieces().len(), 4);
    }

    #[test]
    fn an_empty_answer_has_no_piece() {
        let Script::Say(speech) = Script::of(Behaviour::Empty, &DevnetConfig::default(), "a", true) else {
            panic!("empty says nothing, but in order");
        };
        assert!(speech.pieces().is_empty());
    }

    #[test]
    fn midfail_fails_at_once_when_the_answer_is_whole() {
        assert_eq!(Script::of(Behaviour::Midfail, &DevnetConfig::default(), "a", false), Script::Fail);
    }
}
