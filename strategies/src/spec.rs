//! Reads a strategy with its argument from a text: `default`, `top_n=5`, `weighted:2`, `uids=1,2,3`.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use btvep_domain::{Quorum, Selection, SelectionSource, Uid};

/// Characters of a refused text that an error repeats.
const SHOWN: usize = 40;
/// Longest name of a strategy.
const NAME: usize = 64;

/// The strategies that take a number of miners; `top_n` needs it.
const COUNTED: [&str; 3] = ["top_n", "lowest_latency", "weighted"];

/// A strategy by name with its argument, as keys, models, headers and model suffixes name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The strategy's name; whether it exists is for the caller to know.
    pub name: Arc<str>,
    /// The argument of `uids`, in the order written, each once; otherwise empty.
    pub uids: Vec<Uid>,
    /// How many miners, the argument of `top_n` and its like, at least 1.
    pub top_n: Option<u16>,
    /// The argument of `quorum`.
    pub quorum: Option<Quorum>,
}

/// The text names no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No name at all, or a name with other characters than those allowed.
    #[error("`{0}` names no strategy; write for example `default`, `top_n=5` or `uids=1,2,3`")]
    Name(String),
    /// A strategy that counts miners, without a usable number.
    #[error("`{text}` is no number of miners; write `{name}=N` with N from 1 to 65535")]
    Count {
        /// The strategy.
        name: String,
        /// What stands in the number's place.
        text: String,
    },
    /// `quorum` with something else than two usable numbers.
    #[error("`{0}` is no quorum; write `quorum=K/N` with K from 2 to N and N to 65535")]
    Quorum(String),
    /// `uids` without a usable list.
    #[error("`{0}` is no uid; write `uids=1,2,3` with numbers from 0 to 65535")]
    Uid(String),
    /// A uid stands twice.
    #[error("uid {0} stands twice; name each miner once")]
    Twice(Uid),
    /// An argument where none belongs.
    #[error("strategy `{0}` takes no argument; {counted} take a number of miners, `uids` a list, `quorum` two numbers", counted = COUNTED.join(", "))]
    Argument(String),
}

impl Spec {
    /// Reads a strategy with its argument; `top_n` and `uids` need theirs.
    ///
    /// # Errors
    ///
    /// What is wrong with the text and what would be right.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let spec = Self::parse_name(text)?;
        match &*spec.name {
            "top_n" if spec.top_n.is_none() => Err(no_count("top_n", text)),
            "uids" if spec.uids.is_empty() => Err(SpecError::Uid(shown(text))),
            _ => Ok(spec),
        }
    }

    /// Like [`Self::parse`], but the argument may be absent: a request's body may carry it in a field of its own.
    ///
    /// # Errors
    ///
    /// What is wrong with the text and what would be right.
    pub fn parse_name(text: &str) -> Result<Self, SpecError> {
        let text = text.trim();
        let (name, argument) = match text.split_once([':', '=']) {
            Some((name, argument)) => (name.trim(), Some(argument.trim())),
            None => (text, None),
        };
        if name.is_empty() || name.len() > NAME || !name.bytes().all(is_name_byte) {
            return Err(SpecError::Name(shown(text)));
        }
        let mut spec = Self { name: name.into(), uids: Vec::new(), top_n: None, quorum: None };
        match (name, argument) {
            (_, None) => {}
            ("quorum", Some(numbers)) => spec.quorum = Some(parse_quorum(numbers)?),
            ("uids", Some(list)) => spec.uids = parse_uids(list)?,
            (name, Some(number)) if COUNTED.contains(&name) => spec.top_n = Some(parse_count(name, number)?),
            (_, Some(_)) => return Err(SpecError::Argument(shown(name))),
        }
        Ok(spec)
    }

    /// Whether it takes a number of miners.
    pub fn is_counted(&self) -> bool {
        COUNTED.contains(&&*self.name)
    }

    /// Makes the selection of a request that names nothing but this.
    pub fn select(self, source: SelectionSource, in_parallel: Option<u16>, first_success: bool) -> Selection {
        let Self { name, uids, top_n, quorum } = self;
        Selection { name, source, uids, top_n, quorum, in_parallel, first_success }
    }
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::parse(text)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(n) = self.top_n {
            write!(f, "={n}")?;
        }
        if let Some(Quorum { k, n }) = self.quorum {
            write!(f, "={k}/{n}")?;
        }
        for (place, uid) in self.uids.iter().enumerate() {
            write!(f, "{}{uid}", if place == 0 { '=' } else { ',' })?;
        }
        Ok(())
    }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn parse_count(name: &str, number: &str) -> Result<u16, SpecError> {
    parse_u16(number).filter(|n| *n > 0).ok_or_else(|| no_count(name, number))
}

fn no_count(name: &str, text: &str) -> SpecError {
    SpecError::Count { name: name.to_owned(), text: shown(text) }
}

fn parse_quorum(numbers: &str) -> Result<Quorum, SpecError> {
    let (k, n) = numbers.split_once('/').unwrap_or_default();
    match parse_u16(k.trim()).zip(parse_u16(n.trim())) {
        Some((k, n)) if (2..=n).contains(&k) => Ok(Quorum { k, n }),
        _ => Err(SpecError::Quorum(shown(numbers))),
    }
}

fn parse_uids(list: &str) -> Result<Vec<Uid>, SpecError> {
    let mut seen = HashSet::new();
    list.split(',')
        .map(|text| {
            let uid = parse_u16(text.trim()).map(Uid).ok_or_else(|| SpecError::Uid(shown(text.trim())))?;
            if seen.insert(uid) { Ok(uid) } else { Err(SpecError::Twice(uid)) }
        })
        .collect()
}

/// Reads digits only: `parse` alone would take a leading `+`.
fn parse_u16(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let spec = Spec::parse(text).unwrap();
        assert_eq!(spec.to_string(), shown);
        assert_eq!(Spec::parse(shown).unwrap(), spec, "the shown form reads back");
    }

    #[track_caller]
    fn check_refused(text: &str, says: &str) {
        let error = Spec::parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "`{text}` gave `{error}`");
    }

    #[test]
    fn colon_and_equals_mean_the_same() {
        check("top_n:5", "top_n=5");
        check("top_n=5", "top_n=5");
        check("quorum:3/5", "quorum=3/5");
        check("uids:1,2,3", "uids=1,2,3");
        check("uids=1,2", "uids=1,2");
    }

    #[test]
    fn spaces_do_not_matter() {
        check("  top_n = 5 ", "top_n=5");
        check("uids: 3, 1", "uids=3,1");
    }

    #[test]
    fn the_order_of_uids_is_kept() {
        assert_eq!(Spec::parse("uids:9,0,65535").unwrap().uids, [Uid(9), Uid(0), Uid(65535)]);
    }

    #[test]
    fn a_number_of_miners_may_be_given_where_it_means_something() {
        check("lowest_latency", "lowest_latency");
        check("lowest_latency:3", "lowest_latency=3");
        check("weighted = 2", "weighted=2");
        check_refused("lowest_latency=0", "`lowest_latency=N` with N from 1 to 65535");
        check_refused("weighted=x", "`x` is no number of miners");
    }

    #[test]
    fn other_strategies_go_by_their_name() {
        check("default", "default");
        check("quorum", "quorum");
        check("my-own.v2", "my-own.v2");
    }

    #[test]
    fn errors_say_what_would_be_right() {
        check_refused("", "write for example");
        check_refused("=5", "write for example");
        check_refused("top n=5", "write for example");
        check_refused("top_n", "N from 1 to 65535");
        check_refused("top_n=", "N from 1 to 65535");
        check_refused("top_n=0", "N from 1 to 65535");
        check_refused("top_n=-1", "N from 1 to 65535");
        check_refused("top_n=+1", "N from 1 to 65535");
        check_refused("top_n=65536", "N from 1 to 65535");
        for quorum in ["quorum=", "quorum=3", "quorum=1/2", "quorum=4/3", "quorum=/", "quorum=2/70000", "quorum=2/3/4"]
        {
            check_refused(quorum, "write `quorum=K/N`");
        }
        check_refused("uids", "numbers from 0 to 65535");
        check_refused("uids=", "numbers from 0 to 65535");
        check_refused("uids=1,,2", "numbers from 0 to 65535");
        check_refused("uids=1,-2", "`-2` is no uid");
        check_refused("uids=1,2,1", "uid 1 stands twice");
        check_refused("topn=5", "`topn` takes no argument");
        check_refused("default=3", "`default` takes no argument");
    }

    #[test]
    fn a_long_text_is_not_repeated_whole() {
        let error = Spec::parse(&"é".repeat(5_000)).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }

    #[test]
    fn a_body_may_name_a_strategy_without_its_argument() {
        let spec = Spec::parse_name("top_n").unwrap();
        assert_eq!((&*spec.name, spec.top_n), ("top_n", None));
        assert!(Spec::parse_name("top_n=x").is_err());
    }

    #[test]
    fn a_selection_carries_the_argument() {
        let selection = Spec::parse("uids=4,2").unwrap().select(SelectionSource::Header, Some(1), true);
        assert_eq!(selection.uids, [Uid(4), Uid(2)]);
        assert_eq!((selection.source, selection.in_parallel), (SelectionSource::Header, Some(1)));
    }
}
