//! Bytes from another generation. Nothing may panic or reserve more than the bytes are worth, and what was understood
//! is written the same again.
//!
//! The modules are included by path: that they need nothing else but plain data is what makes them the pure floor.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/generation.rs"]
mod generation;
#[path = "../../src/name.rs"]
mod name;
#[path = "../../src/state.rs"]
mod state;
#[path = "../../src/status.rs"]
mod status;
#[path = "../../src/wire/mod.rs"]
mod wire;

pub use error::{Error, ErrorKind};
pub use generation::Successor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let mut gathered = wire::Gathered::default();
    while let Ok(Some((message, _, length))) = wire::first(rest) {
        if let Some(message) = message {
            if let wire::Message::State(piece) | wire::Message::FinalState(piece) = &message {
                if gathered.add(piece).is_err() {
                    gathered = wire::Gathered::default();
                }
            }
            let again = wire::first(&message.encode()).expect("our own frame").expect("a whole one");
            assert_eq!(again.0, Some(message));
        }
        rest = &rest[length..];
    }
    gathered.whole();
    if let Some(head) = bytes.first_chunk() {
        wire::peek_pid(head);
    }
});
