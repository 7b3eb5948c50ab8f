use btvep_domain::{LogQuery, LogRow};

/// Rows returned when a query names no number, and the most it can name.
const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 10_000;

/// Returns how many rows a query gets at most.
pub(crate) fn max_lines(query: &LogQuery) -> usize {
    query.lines.unwrap_or(DEFAULT_LINES).min(MAX_LINES)
}

/// The conditions of a query.
#[derive(Debug)]
pub(crate) struct Filter<'a>(&'a LogQuery);

impl<'a> Filter<'a> {
    pub(crate) const fn new(query: &'a LogQuery) -> Self {
        Self(query)
    }

    /// Whether every condition holds.
    pub(crate) fn matches(&self, row: &LogRow) -> bool {
        let query = self.0;
        query.key.is_none_or(|key| row.key == Some(key))
            && query.request_id.as_deref().is_none_or(|id| *row.request_id == *id)
            && query.is_api_success.is_none_or(|wanted| row.is_api_success == wanted)
            && query.is_success.is_none_or(|wanted| row.is_success == wanted)
            && query.start_ms.is_none_or(|start| row.at_ms >= start)
            && query.end_ms.is_none_or(|end| row.at_ms < end)
            && query.responder_hotkey.is_none_or(|hotkey| row.attempts.iter().any(|a| a.hotkey == Some(hotkey)))
    }
}
