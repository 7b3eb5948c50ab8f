use std::time::Duration;

use btvep_domain::{ConfigError, written};
use btvep_protocol::python_repr::Python;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A subnet has no more places.
const MOST_MINERS: u16 = 256;

/// Scripted miners on loopback, started inside the process: for development and tests, never for production.
///
/// Miner `i` has uid `i`, the hotkey of the key URI `//Devnet/<i>` and a port that the system chooses. Incentive falls
/// within each group of four uids: 3, 2, 1, 0, 7, 6, 5, 4, … is the order from the highest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DevnetConfig {
    /// How many miners.
    #[schemars(range(min = 1, max = MOST_MINERS))]
    pub miners: u16,
    /// What the miners do, by uid, from the beginning again when the list ends. By default the first four echo at once
    /// (they are uid 0 and the three of highest incentive) and the others show every way to answer and to fail.
    pub behaviours: Vec<Behaviour>,
    /// What every miner speaks, all on its one port.
    pub protocols: Vec<MinerSpeech>,
    /// The Pythons that the miners run, by uid, from the beginning again when the list ends. They differ in how the
    /// synapse protocol hashes new emoji.
    pub pythons: Vec<MinerPython>,
    /// Pause before each further token of a stream.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub token_gap: Duration,
    /// How long a miner keeps an idle connection open; the SDK's axons do so for 5 s.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub keep_alive: Duration,
    /// Connections each miner holds open at most; further ones wait to be accepted.
    #[schemars(range(min = 1))]
    pub connections: u32,
    /// The newest requests that each miner remembers for tests to look at.
    pub record: u16,
    /// Stakes, coldkeys and answer ids follow from it: the same seed gives the same devnet.
    pub seed: u64,
}

/// What a miner does with a prompt that it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Answers `echo:` and the last user message at once; streams it word by word without a pause.
    Echo,
    /// Answers always the same sentence.
    Canned,
    /// Echoes after a while.
    Slow {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Fails: 500.
    Fail,
    /// Accepts the prompt and never answers.
    Hang,
    /// Answers 200 with an empty text.
    Empty,
    /// Echoes word by word with `token_gap` between the words.
    Stream,
    /// Streams three words, then drops the connection; fails like `fail` when the answer is whole.
    Midfail,
    /// Answers 200 with bytes that are no answer.
    Lie,
    /// Refuses the caller: 403 before it looks at the signature (synapse) or after it (`btauth`).
    Blacklist,
    /// Says that it is busy: 429 (`btauth`), 408 (synapse).
    Busy,
    /// Echoes word by word, each word only when a test releases it.
    Gated,
}

/// A protocol that a miner speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MinerSpeech {
    /// Axons up to SDK 10: `Prompting`, `PromptingSynapse`, `StreamPromptingSynapse`.
    Synapse,
    /// Request signatures of SDK 11 over an OpenAI body.
    Btauth,
    /// An OpenAI body without any signature, whatever the bearer key.
    Openai,
}

/// A Python, as far as it matters to the body hash of a synapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MinerPython {
    /// Unicode 13.
    #[serde(rename = "3.10")]
    V3_10,
    /// Unicode 14.
    #[serde(rename = "3.11")]
    V3_11,
    /// Unicode 15.0.
    #[serde(rename = "3.12")]
    V3_12,
    /// Unicode 15.1.
    #[serde(rename = "3.13")]
    V3_13,
}

impl From<MinerPython> for Python {
    fn from(python: MinerPython) -> Self {
        match python {
            MinerPython::V3_10 => Self::V3_10,
            MinerPython::V3_11 => Self::V3_11,
            MinerPython::V3_12 => Self::V3_12,
            MinerPython::V3_13 => Self::V3_13,
        }
    }
}

impl MinerSpeech {
    /// Returns its name, which is also the neuron's tag.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Synapse => "synapse",
            Self::Btauth => "btauth",
            Self::Openai => "openai",
        }
    }
}

impl Default for DevnetConfig {
    fn default() -> Self {
        Self {
            miners: 16,
            behaviours: default_behaviours(),
            protocols: vec![MinerSpeech::Synapse, MinerSpeech::Btauth],
            pythons: vec![MinerPython::V3_11],
            token_gap: Duration::from_millis(20),
            keep_alive: Duration::from_secs(5),
            connections: 256,
            record: 0,
            seed: 1,
        }
    }
}

impl DevnetConfig {
    /// Checks what the types cannot say; `path` is where the table stands.
    ///
    /// # Errors
    ///
    /// A value that no devnet can run with.
    pub fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let refuse = |key: &str, message: String| Err(ConfigError::new(format!("{path}.{key}"), message));
        if !(1..=MOST_MINERS).contains(&self.miners) {
            return refuse("miners", format!("must be from 1 to {MOST_MINERS}"));
        }
        if self.connections == 0 {
            return refuse("connections", "must be at least 1".to_owned());
        }
        if self.keep_alive.is_zero() {
            return refuse("keep_alive", "must be longer than nothing, such as \"5s\"".to_owned());
        }
        let lists = [
            ("behaviours", self.behaviours.is_empty()),
            ("pythons", self.pythons.is_empty()),
            ("protocols", self.protocols.is_empty()),
        ];
        match lists.into_iter().find(|(_, is_empty)| *is_empty) {
            Some((key, _)) => refuse(key, "is an empty list; leave it out for the default".to_owned()),
            None => Ok(()),
        }
    }
}

fn default_behaviours() -> Vec<Behaviour> {
    use Behaviour::{Busy, Canned, Echo, Empty, Fail, Hang, Lie, Midfail, Slow, Stream};
    let at_once = [Echo; 4];
    let mostly_fine = [Stream, Slow { ms: 300 }, Canned, Echo, Stream, Slow { ms: 1_500 }];
    let troubled = [Fail, Midfail, Empty, Lie, Busy, Hang];
    at_once.into_iter().chain(mostly_fine).chain(troubled).collect()
}
