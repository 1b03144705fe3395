//! Walks through every order of events.
