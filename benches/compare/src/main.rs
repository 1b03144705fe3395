//! What a restart does to clients: of this crate's servers, and of what a user would run otherwise.
#![expect(dead_code, reason = "the frame; what measures and what draws come next")]

mod results;

fn main() {}
