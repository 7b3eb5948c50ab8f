use std::time::Duration;

use btvep_protocol::python_repr::Python;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scripted miners on loopback, started inside the process: for development and tests, never for production.
///
/// Miner `i` has uid `i`, the hotkey of the key URI `//Devnet/<i>` and a port that the system chooses. Incentive falls
/// within each group of four uids: 3, 2, 1, 0, 7, 6, 5, 4, … is the order from the highest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DevnetConfig {
    /// How many miners, 1 to 256. 16 by default.
    pub miners: u16,
    /// What the miners do, by uid, from the beginning again when the list ends. By default the first four echo at once
    /// (they are uid 0 and the three of highest incentive) and the others show every way to answer and to fail.
    pub behaviours: Vec<Behaviour>,
    /// What every miner speaks, all on its one port. `synapse` and `btauth` by default.
    pub protocols: Vec<MinerSpeech>,
    /// The Pythons that the miners run, by uid, from the beginning again when the list ends. They differ in how the
    /// synapse protocol hashes new emoji. All `3.11` by default.
    pub pythons: Vec<MinerPython>,
    /// Pause before each further token of a stream. 20 ms by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub token_gap: Duration,
    /// How long a miner keeps an idle connection open. 5 s by default, as the SDK's axons do.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub keep_alive: Duration,
    /// Connections each miner holds open at most; further ones wait to be accepted. 256 by default.
    pub connections: u32,
    /// Requests each miner remembers for tests to look at, the newest; 0, the default, remembers none.
    pub record: u16,
    /// Stakes, coldkeys and answer ids follow from it: the same seed gives the same devnet. 1 by default.
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

fn default_behaviours() -> Vec<Behaviour> {
    use Behaviour::{Busy, Canned, Echo, Empty, Fail, Hang, Lie, Midfail, Slow, Stream};
    let at_once = [Echo; 4];
    let mostly_fine = [Stream, Slow { ms: 300 }, Canned, Echo, Stream, Slow { ms: 1_500 }];
    let troubled = [Fail, Midfail, Empty, Lie, Busy, Hang];
    at_once.into_iter().chain(mostly_fine).chain(troubled).collect()
}
