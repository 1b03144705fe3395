//! Frames. What was understood is written the same again.

use crate::wire::{Gathered, Message, first, missing, peek_pid};

pub(super) fn run(bytes: &[u8]) {
    let mut rest = bytes;
    let mut gathered = Gathered::default();
    while let Ok(Some((message, _, length))) = first(rest) {
        assert_eq!(missing(rest), Ok(0));
        assert!(missing(&rest[..length - 1]).is_ok_and(|missing| missing > 0), "one byte less is no whole frame");
        if let Some(message) = message {
            if let Message::State(piece) | Message::FinalState(piece) = &message {
                if gathered.add(piece).is_err() {
                    gathered = Gathered::default();
                }
            }
            let again = first(&message.encode()).expect("our own frame").expect("a whole one");
            assert_eq!(again.0, Some(message));
        }
        rest = &rest[length..];
    }
    gathered.whole();
    if let Some(head) = bytes.first_chunk() {
        peek_pid(head);
    }
}
