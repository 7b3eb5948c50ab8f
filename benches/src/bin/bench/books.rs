//! Whether what was answered was also charged and logged.

use std::path::Path;

use btvep_domain::{Accounts, StoreError};
use btvep_state::{Embedded, StateConfig};

use crate::bars::Bar;
use crate::contender::Seen;
use crate::error::{BenchError, Result};
use crate::product::CREDITS;

/// Charge records read at a time.
const PAGE: usize = 10_000;

/// What the client, the miner, the ledger and the log say of the same requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Books {
    /// Answers that the load received whole.
    pub(crate) answered: u64,
    /// Requests that the load may have begun and not received: it leaves at the end of each window.
    pub(crate) cut: u64,
    /// What the miner saw.
    pub(crate) seen: Seen,
    /// Credits that are left.
    pub(crate) credits: u64,
    /// Credits that are still held.
    pub(crate) held: u64,
    /// Charges in the ledger.
    pub(crate) charges: u64,
    /// Rows in the log.
    pub(crate) rows: u64,
}

impl Books {
    /// Returns what must hold between them.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let Self { answered, cut, seen, credits, held, charges, rows } = *self;
        let spent = CREDITS.saturating_sub(credits);
        let within = |count: u64| (answered..=answered + cut).contains(&count);
        let bar = Bar::new;
        vec![
            bar(
                within(spent) && held == 0,
                format!(
                    "{answered} answers (and at most {cut} that nobody waited for) cost {spent} credits; {held} are held"
                ),
            ),
            bar(within(charges) && charges == spent, format!("the ledger has {charges} settles")),
            bar(within(rows) && rows >= charges, format!("the log has {rows} rows")),
            bar(
                seen.refused == 0 && seen.verified > 0 && seen.signed >= charges,
                format!(
                    "the miner saw {} signatures, verified {} and refused {}",
                    seen.signed, seen.verified, seen.refused
                ),
            ),
        ]
    }
}

/// Counts the charges in a store that no server has open.
pub(crate) fn charges(state: &Path) -> Result<u64> {
    let config = StateConfig { path: state.to_owned(), ..StateConfig::default() };
    let unreadable = |said: String| BenchError::Program { program: format!("the store {}", state.display()), said };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| BenchError::Start { program: "runtime".to_owned(), source })?;
    let store = Embedded::open(&config, None).map_err(|error| unreadable(error.to_string()))?;
    runtime.block_on(count(&*store)).map_err(|error| unreadable(error.to_string()))
}

/// Counts the rows of a request log that no server has open.
pub(crate) fn rows(state: &Path) -> Result<u64> {
    let folder = state.join("logs");
    let mut rows = 0;
    for entry in std::fs::read_dir(&folder).map_err(BenchError::file(&folder))?.flatten() {
        let file = entry.path();
        let bytes = std::fs::read(&file).map_err(BenchError::file(&file))?;
        rows += memchr::memchr_iter(b'\n', &bytes).count() as u64;
    }
    Ok(rows)
}

async fn count(accounts: &dyn Accounts) -> std::result::Result<u64, StoreError> {
    let (mut from, mut charges) = (None, 0);
    loop {
        let page = accounts.ledger(from, PAGE).await?;
        // A grant is no charge for an answer.
        charges += page.records.iter().filter(|record| record.choices > 0).count() as u64;
        from = page.next;
        if from.is_none() {
            return Ok(charges);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Books = Books {
        answered: 100,
        cut: 16,
        seen: Seen { signed: 105, verified: 2, refused: 0 },
        credits: CREDITS - 104,
        held: 0,
        charges: 104,
        rows: 105,
    };

    fn missed(books: &Books) -> usize {
        books.bars().iter().filter(|bar| !bar.holds).count()
    }

    #[test]
    fn books_that_agree_hold() {
        assert_eq!(missed(&GOOD), 0);
    }

    #[test]
    fn what_is_missing_is_missed() {
        assert_eq!(missed(&Books { charges: 99, ..GOOD }), 1);
        assert_eq!(missed(&Books { rows: 99, ..GOOD }), 1);
        assert_eq!(missed(&Books { held: 1, ..GOOD }), 1);
        assert_eq!(missed(&Books { credits: CREDITS - 99, charges: 99, ..GOOD }), 2);
        assert_eq!(missed(&Books { seen: Seen { refused: 1, ..GOOD.seen }, ..GOOD }), 1);
    }
}
