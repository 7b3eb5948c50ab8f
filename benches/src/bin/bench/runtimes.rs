//! A runtime for each core, or one whose threads take work from one another: the same load on two threads.

use crate::contender::Contender;
use crate::error::Result;
use crate::product::{FULL, Product, Setup};
use crate::rounds::Bench;

/// On a machine of two cores the load shares them; both kinds meet the same load.
const CORES: &str = "0,1";

/// Starts a server of each kind.
pub(crate) fn contenders(bench: &Bench<'_>, product: &Product) -> Result<Vec<Contender>> {
    let per_core = Setup { row: "per_core", name: "btvep, a runtime per core", threads: 2, cores: CORES, ..FULL };
    let stealing = Setup { row: "stealing", name: "btvep, work stealing", work_stealing: true, ..per_core };
    let mut started = Vec::new();
    for setup in [per_core, stealing] {
        let prepared = product.prepare(setup, bench.folder, bench.mock)?;
        started.push(product.start(&prepared, bench.folder)?);
    }
    Ok(started)
}
