//! One window: load for some seconds, with what it cost before and after.

use crate::contender::{Contender, Mock};
use crate::error::{BenchError, Result};
use crate::load::{Load, Wrk};
use crate::machine::{self, busy, cores, own_cpu, usage};
use crate::report::Row;

/// Attempts at a window before the machine is called busy.
const ATTEMPTS: u32 = 6;

/// What one window showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    pub(crate) load: Load,
    /// CPU microseconds of the contender per request.
    pub(crate) cpu: f64,
    /// What others used of the machine, 0 to 100.
    pub(crate) other: f64,
    /// Resident bytes of the contender at its end.
    pub(crate) resident: u64,
}

/// How windows are made.
#[derive(Debug)]
pub(crate) struct Windows<'a> {
    pub(crate) wrk: &'a Wrk,
    pub(crate) mock: &'a Mock,
    pub(crate) seconds: u32,
    /// The most of the machine that others may use, 0 to 100.
    pub(crate) other: f64,
    /// Whether some requests may be refused.
    pub(crate) may_refuse: bool,
}

impl Windows<'_> {
    /// Measures until a window is quiet, and adds it to the row.
    pub(crate) fn quiet(&self, row: &mut Row<'_>, connections: u32) -> Result<()> {
        let mut least = f64::MAX;
        for _ in 0..ATTEMPTS {
            let window = self.one(row.contender, connections)?;
            row.note(&window.load, connections);
            if window.other <= self.other {
                row.windows.push(window);
                return Ok(());
            }
            row.thrown += 1;
            least = least.min(window.other);
        }
        Err(BenchError::Busy(least))
    }

    fn one(&self, contender: &Contender, connections: u32) -> Result<Window> {
        let before = self.reading(contender)?;
        let load = self.wrk.run(&contender.target, connections, self.seconds)?;
        let after = self.reading(contender)?;
        let failed = load.failed + if self.may_refuse { 0 } else { load.refused };
        if failed > 0 || load.requests == load.refused {
            return Err(BenchError::Failures(contender.name.clone(), failed, load.requests));
        }
        let cpu = after.contender.cpu - before.contender.cpu;
        let ours = cpu + (after.mock - before.mock) + (after.own - before.own);
        let others = (after.busy - before.busy - ours).max(0.0);
        Ok(Window {
            load,
            cpu: cpu * 1e6 / decimal(load.requests),
            other: others * 100.0 / (load.seconds * decimal(cores() as u64)),
            resident: after.contender.resident,
        })
    }

    fn reading(&self, contender: &Contender) -> Result<Reading> {
        Ok(Reading {
            contender: usage(contender.running.pid())?,
            mock: usage(self.mock.running.pid())?.cpu,
            own: own_cpu(),
            busy: busy()?,
        })
    }
}

struct Reading {
    contender: machine::Usage,
    mock: f64,
    own: f64,
    busy: f64,
}

/// Returns a count for divisions.
#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds are far below 2^52")]
pub(crate) const fn decimal(count: u64) -> f64 {
    count as f64
}

/// Returns the median; of an even number, the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) && middle > 0 { f64::midpoint(at(middle - 1), at(middle)) } else { at(middle) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(vec![]).is_nan());
    }
}
