//! The pipeline of filters and the dispatch to miners.
