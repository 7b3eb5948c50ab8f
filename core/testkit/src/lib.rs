//! Fakes and the behaviour suite of each contract; a dev-dependency only.
