//! What must hold; the harness fails when it does not.

use crate::report::{Row, megabytes};

/// The most CPU of the bare product, as a multiple of plain Pingora's.
const BARE: f64 = 1.2;

/// The most CPU with everything on, as a multiple of plain Pingora's.
const FULL: f64 = 2.0;

/// The most memory when idle, in millions of bytes.
const IDLE: f64 = 40.0;

/// One thing that must hold, and whether it does.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) text: String,
    pub(crate) holds: bool,
}

impl Bar {
    pub(crate) fn new(holds: bool, text: String) -> Self {
        Self { text, holds }
    }
}

/// Checks the rows of one number of connections.
pub(crate) fn of_rows(rows: &[Row<'_>], connections: u32) -> Vec<Bar> {
    let row = |name: &str| rows.iter().find(|row| row.contender.row == name);
    let mut bars = Vec::new();
    for (name, most) in [("bare", BARE), ("full", FULL)] {
        let Some(own) = row(name) else { continue };
        if let Some(pingora) = row("pingora") {
            let ratio = own.ratio(pingora);
            let text =
                format!("{name}: {ratio:.2} × plain Pingora's CPU with {connections} connections, at most {most:.1}");
            bars.push(Bar::new(ratio <= most, text));
        }
        let idle = megabytes(own.contender.idle);
        bars.push(Bar::new(idle < IDLE, format!("{name}: {idle:.1} MB when idle, less than {IDLE:.0}")));
    }
    bars
}
