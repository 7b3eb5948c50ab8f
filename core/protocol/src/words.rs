//! A miner's own words, made fit for a reply or a log.

use crate::python_repr::{Python, is_printable};

/// The most characters that are kept.
const MOST: usize = 300;

/// Returns the text in one line, without what cannot be printed, at most 300 characters.
///
/// Miners are strangers: their texts reach terminals, web pages and logs.
pub(crate) fn words(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(MOST));
    let mut count = 0;
    for word in text.split(|c: char| c == ' ' || is_hidden(c)).filter(|word| !word.is_empty()) {
        let gap = usize::from(count > 0);
        if count + gap >= MOST {
            break;
        }
        if gap > 0 {
            kept.push(' ');
        }
        kept.extend(word.chars().take(MOST - count - gap));
        count = kept.chars().count();
    }
    kept
}

/// Whether a character steers a terminal or the direction of text, shows nothing, or is of nobody's script.
fn is_hidden(c: char) -> bool {
    !is_printable(c, Python::V3_13)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_control_characters_become_single_spaces() {
        assert_eq!(words(" a\r\n\u{1b}[31mb\u{202e}c\0\u{feff}"), "a [31mb c");
        assert_eq!(words("\u{1b}\n "), "");
    }

    #[test]
    fn at_most_three_hundred_characters_are_kept() {
        assert_eq!(words(&"é".repeat(1000)), "é".repeat(300));
        assert_eq!(words(&"ab ".repeat(1000)).chars().count(), 299);
        assert_eq!(words(&format!("{} b", "a".repeat(299))), "a".repeat(299));
    }
}
