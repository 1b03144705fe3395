//! libFuzzer around the targets, which are the crate's own (`src/fuzz`): one program for all of them, so that it is linked
//! once. `FUZZ_TARGET` says which one.
#![no_main]

use std::{env, sync::LazyLock};

use tokio_hotrestart::fuzz::TARGETS;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    TARGETS.iter().find(|(target, _)| *target == name).expect("FUZZ_TARGET names a target").1
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
