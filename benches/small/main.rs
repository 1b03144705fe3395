//! The small things, each alone: frames, descriptors that change processes, the tracker under contention, the layer, and how
//! a process is started.
//!
//! What a restart or a request costs as a whole is measured by the other benchmarks; this is for whoever changes one of its
//! parts, and for its worst case.
//!
//! ```text
//! cargo bench --bench small
//! cargo bench --bench small -- frames --sample-count 1000    # those with `frames` in their name
//! cargo bench --bench small -- --test                        # each once, in some seconds: that they work
//! SPAWN_GIB=4 cargo bench --bench small -- spawn             # a size of your own, beside 16 MiB to 1 GiB
//! ```

#![allow(dead_code, unused_imports, reason = "the crate's own modules, of which each benchmark uses a part")]
#![allow(missing_debug_implementations, missing_docs, unreachable_pub, reason = "it has no users")]

// By path, as they are nobody's but the crate's.
#[path = "../../src/channel/mod.rs"]
mod channel;
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
#[path = "../../src/sys/mod.rs"]
mod sys;
#[path = "../../src/wire/mod.rs"]
mod wire;

mod descriptors;
mod frames;
mod layer;
mod passed;
mod spawn;
mod tracker;

/// In place of the crate's own, whose tests want all of the crate.
mod log {
    pub(crate) use tracing::{debug, error, info, warn};
}

pub use error::{Error, ErrorKind};
pub use generation::Successor;

fn main() {
    divan::main();
}
