//! Interleaved rounds: contenders take turns, so that what the machine does in the meantime meets all of them.

use std::path::Path;

use crate::args::Arguments;
use crate::contender::{Contender, Mock};
use crate::error::Result;
use crate::load::Wrk;
use crate::probe;
use crate::report::Row;
use crate::window::Windows;

/// What every measurement needs.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) folder: &'a Path,
    pub(crate) mock: &'a Mock,
    pub(crate) wrk: &'a Wrk,
}

impl Bench<'_> {
    /// Returns how windows are made, of answers that are all 200.
    pub(crate) const fn windows(&self) -> Windows<'_> {
        let Arguments { seconds, other, .. } = *self.arguments;
        Windows { wrk: self.wrk, mock: self.mock, seconds, other, may_refuse: false }
    }

    /// Measures all contenders with so many connections.
    pub(crate) fn rounds<'a>(&self, contenders: &'a [Contender], connections: u32) -> Result<Vec<Row<'a>>> {
        let (windows, rounds) = (self.windows(), self.arguments.rounds);
        let mut rows: Vec<Row<'a>> = contenders.iter().map(Row::new).collect();
        for row in &mut rows {
            // Connections, buffers and caches come into being.
            row.note(&self.wrk.run(&row.contender.target, connections, 1)?, connections);
        }
        for round in 1..=rounds {
            eprintln!("bench: {connections} connections, round {round} of {rounds}");
            for row in &mut rows {
                windows.quiet(row, connections)?;
            }
        }
        for row in &mut rows {
            probe::count(row, self.wrk, connections, self.folder)?;
        }
        Ok(rows)
    }
}
