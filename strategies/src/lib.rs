//! The built-in query strategies, one file each.
