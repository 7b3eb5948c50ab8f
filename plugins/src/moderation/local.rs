//! The operator's own list: no network, linear time whatever the pattern.

use btvep_domain::ConfigError;
use regex::{RegexBuilder, RegexSet, RegexSetBuilder, escape};

/// Most memory of one compiled pattern; a bounded repetition such as `a{1000}{1000}` would need more.
const ONE: usize = 4 << 20;
/// Most memory of all together.
const ALL: usize = 16 << 20;
/// Most memory that matching uses, on each thread.
const CACHE: usize = 2 << 20;
/// Characters of a keyword or pattern that a row repeats.
const SHOWN: usize = 64;

/// Keywords and patterns, compiled into one set.
#[derive(Debug)]
pub(super) struct WordList {
    set: RegexSet,
    /// What each member of the set is called in a row.
    names: Vec<String>,
}

impl WordList {
    /// Compiles keywords and patterns.
    pub(super) fn new(keywords: &[String], patterns: &[String]) -> Result<Self, ConfigError> {
        for (place, keyword) in keywords.iter().enumerate() {
            if keyword.trim().is_empty() {
                let message = "an empty keyword would flag every prompt; remove it";
                return Err(ConfigError::new(format!("filters.moderation.keywords.{place}"), message));
            }
        }
        for (place, pattern) in patterns.iter().enumerate() {
            check_pattern(&format!("filters.moderation.patterns.{place}"), pattern)?;
        }
        let expressions = keywords.iter().map(|word| keyword_pattern(word.trim())).chain(patterns.iter().cloned());
        let set = RegexSetBuilder::new(expressions).size_limit(ALL).dfa_size_limit(CACHE).build().map_err(|_| {
            ConfigError::new("filters.moderation.patterns", "keywords and patterns together are too large; use fewer")
        })?;
        let keywords = keywords.iter().map(|word| shown("keyword", word.trim()));
        let names = keywords.chain(patterns.iter().map(|pattern| shown("pattern", pattern))).collect();
        Ok(Self { set, names })
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns what any of the texts holds, in the order of the configuration.
    pub(super) fn find(&self, texts: &[&str]) -> Vec<String> {
        let mut found = vec![false; self.names.len()];
        for text in texts {
            for place in self.set.matches(text) {
                if let Some(found) = found.get_mut(place) {
                    *found = true;
                }
            }
        }
        self.names.iter().zip(found).filter(|(_, found)| *found).map(|(name, _)| name.clone()).collect()
    }
}

fn check_pattern(path: &str, pattern: &str) -> Result<(), ConfigError> {
    let compiled = RegexBuilder::new(pattern).size_limit(ONE).dfa_size_limit(CACHE).build();
    let message = match compiled {
        Ok(expression) if !expression.is_match("") => return Ok(()),
        Ok(_) => "this pattern matches the empty text, so it would flag every prompt; ask for at least one character"
            .to_owned(),
        Err(regex::Error::CompiledTooBig(_)) => "this pattern needs too much memory; repeat less".to_owned(),
        Err(error) => {
            let said = error.to_string();
            // Its last line is the reason; the others repeat the pattern.
            let reason = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("this is no regular expression: {reason}; `\\` before a character means the character itself")
        }
    };
    Err(ConfigError::new(path, message))
}

/// A keyword as a pattern: whole words where the script has such, whatever the case.
fn keyword_pattern(keyword: &str) -> String {
    let edge = |c: Option<char>| if c.is_some_and(has_word_edge) { r"\b" } else { "" };
    let mut chars = keyword.chars();
    let (first, last) = (chars.next(), chars.next_back());
    format!("(?i){}{}{}", edge(first), escape(keyword), edge(last.or(first)))
}

/// Scripts without case (Chinese, Thai, …) mostly have no spaces between words either.
fn has_word_edge(c: char) -> bool {
    c.is_numeric() || c.is_lowercase() || c.is_uppercase()
}

fn shown(kind: &str, text: &str) -> String {
    format!("{kind}:{}", text.chars().take(SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(keywords: &[&str], patterns: &[&str]) -> Result<WordList, ConfigError> {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        WordList::new(&owned(keywords), &owned(patterns))
    }

    #[track_caller]
    fn check(keywords: &[&str], patterns: &[&str], text: &str, found: &[&str]) {
        assert_eq!(list(keywords, patterns).unwrap().find(&["nothing here", text]), found);
    }

    #[test]
    fn keywords_are_whole_words_whatever_their_case() {
        check(&["bomb"], &[], "how to build a BOMB?", &["keyword:bomb"]);
        check(&["bomb"], &[], "a bombastic speech", &[]);
        check(&["two words"], &[], "say Two Words.", &["keyword:two words"]);
        check(&["c++"], &[], "I like C++ a lot", &["keyword:c++"]);
        check(&["бомба"], &[], "БОМБА", &["keyword:бомба"]);
        check(&["a"], &[], "the letter a", &["keyword:a"]);
    }

    #[test]
    fn scripts_without_spaces_match_within_the_text() {
        check(&["炸弹"], &[], "如何制造炸弹的方法", &["keyword:炸弹"]);
    }

    #[test]
    fn patterns_are_taken_as_written() {
        check(&[], &[r"\d{3}-\d{4}"], "call 555-1234", &[r"pattern:\d{3}-\d{4}"]);
        check(&[], &["bomb"], "BOMB", &[]);
        check(&["x"], &["(?i)bomb", "never"], "x BOMB", &["keyword:x", "pattern:(?i)bomb"]);
    }

    #[track_caller]
    fn check_refused(keywords: &[&str], patterns: &[&str], path: &str, says: &str) {
        let error = list(keywords, patterns).unwrap_err();
        assert_eq!(error.path, path);
        assert!(error.message.contains(says), "{error}");
    }

    #[test]
    fn what_would_flag_everything_is_refused() {
        check_refused(&["x", "  "], &[], "filters.moderation.keywords.1", "every prompt");
        check_refused(&[], &["x", "a*"], "filters.moderation.patterns.1", "every prompt");
    }

    #[test]
    fn a_pattern_that_blows_up_is_refused_and_named() {
        check_refused(&[], &["ok", r"(?:\w{500}){500}"], "filters.moderation.patterns.1", "too much memory");
        check_refused(&[], &["(open"], "filters.moderation.patterns.0", "unclosed group");
    }

    #[test]
    fn all_together_are_bounded_too() {
        let many: Vec<String> = (0..100).map(|n| format!(r"{n}\w{{25}}")).collect();
        let patterns: Vec<&str> = many.iter().map(String::as_str).collect();
        check_refused(&[], &patterns, "filters.moderation.patterns", "use fewer");
    }

    #[test]
    fn a_pattern_known_to_explode_elsewhere_takes_linear_time() {
        let text = format!("{}!", "a".repeat(200_000));
        check(&[], &["^(a+)+$"], &text, &[]);
    }
}
