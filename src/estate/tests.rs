//! Providers that give, fail, hang and panic; and what comes.
