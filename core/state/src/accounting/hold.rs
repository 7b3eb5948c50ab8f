use std::fmt;
use std::mem;
use std::sync::Arc;

use async_trait::async_trait;
use btvep_domain::{Closed, Closing, Credits, Hold, StoreError};

use super::live::Taken;
use super::record::Record;
use super::settle::Debt;

/// What a request has taken and owes; shared with the journal while it is being written down.
#[derive(Debug)]
pub(crate) struct Taking {
    pub(crate) debt: Debt,
    pub(crate) record: Arc<Record>,
    pub(crate) taken: Taken,
}

/// Where a hold stands towards its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No mark.
    Held,
    /// A mark was asked for and nobody has seen it written: the answer has not begun to leave.
    Marking,
    /// The mark is durable and the answer may have begun to leave.
    Marked,
}

/// Where marks and closings are written down.
#[async_trait]
pub(crate) trait Journal: Send + Sync + fmt::Debug {
    /// Notes that a hold is open, which will be closed or abandoned.
    fn opened(&self);
    /// Writes the mark.
    async fn mark(&self, taking: &Arc<Taking>) -> Result<(), StoreError>;
    /// Writes the charge and releases the hold.
    async fn close(&self, taking: Arc<Taking>, stage: Stage, closing: Closing) -> Result<Closed, StoreError>;
    /// Ends a hold nobody closed, without waiting.
    fn abandon(&self, taking: Arc<Taking>, stage: Stage);
    /// Keeps the counters of an account soon, without waiting: a request ended that nothing meters.
    fn count(&self, record: &Arc<Record>);
}

/// An open hold; see [`Hold`].
#[derive(Debug)]
pub(crate) struct OpenHold {
    /// None once it has ended.
    taking: Option<Arc<Taking>>,
    stage: Stage,
    metered: bool,
    journal: Arc<dyn Journal>,
}

impl OpenHold {
    pub(crate) fn new(taking: Taking, metered: bool, journal: Arc<dyn Journal>) -> Self {
        if metered {
            journal.opened();
        }
        Self { taking: Some(Arc::new(taking)), stage: Stage::Held, metered, journal }
    }
}

#[async_trait]
impl Hold for OpenHold {
    async fn mark(&mut self) -> Result<(), StoreError> {
        let Some(taking) = &self.taking else { return Ok(()) };
        if self.stage == Stage::Marked || !self.metered {
            return Ok(());
        }
        // Set before waiting: whoever stops waiting leaves a mark that must be taken back.
        self.stage = Stage::Marking;
        self.journal.mark(taking).await?;
        self.stage = Stage::Marked;
        Ok(())
    }

    async fn close(mut self: Box<Self>, closing: Closing) -> Result<Closed, StoreError> {
        let stage = mem::replace(&mut self.stage, Stage::Held);
        let taking = self.taking.take().ok_or_else(|| StoreError::Unavailable("the hold has ended".to_owned()))?;
        if self.metered {
            return self.journal.close(taking, stage, closing).await;
        }
        let remaining = taking.record.end(&taking.taken, closing.attempts);
        self.journal.count(&taking.record);
        Ok(Closed { charged: Credits::ZERO, remaining })
    }
}

impl Drop for OpenHold {
    fn drop(&mut self) {
        let Some(taking) = self.taking.take() else { return };
        if self.metered {
            self.journal.abandon(taking, self.stage);
        } else {
            taking.record.release(&taking.taken, None);
        }
    }
}
