//! The life of a request.

/// Takes requests through the pipeline.
#[derive(Debug)]
pub struct Engine;
