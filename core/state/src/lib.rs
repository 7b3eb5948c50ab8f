//! Keys, accounts and logs, in memory and on sled.
