//! Everything that somebody outside has a say in, given to whatever bytes a fuzzer thinks of. Each target asserts what must
//! hold of any bytes; and that nothing panics, or reserves more than the bytes are worth, the fuzzer sees.
//!
//! It is compiled for tests, which give each target the seeds that are kept for it (`seeds/`), and with
//! `--cfg hotrestart_fuzzing`, for `fuzz/run`. What a target needs of the crate is private, so it can't lie outside of it.
//!
//! | target | what comes from outside | from whom |
//! |---|---|---|
//! | wire | frames, pieces of state | another generation, whoever is at the control path |
//! | introduction | HELLO, manifest and state, with their descriptors | who says to be a predecessor |
//! | predecessor | all that follows, offers of connections and visitors with their descriptors | a predecessor |
//! | successor | answers to what was passed and offered | a successor |
//! | visit | WANT, and the answer to one | who comes to the control path; who is found there |
//! | environment | the channel's name, the manager's variables, the control path's directories | whoever starts the program |
//! | listen | `LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`, and the descriptors under these names | the same |
//! | notice | datagrams | a successor that knows nothing of this crate |
//!
//! What is read besides has no parser of ours: HTTP is hyper's (the first bytes, by which HTTP/1 and HTTP/2 are told apart,
//! are cut everywhere in `serve/tests`), the pidfd's answer is a struct that the kernel fills, credentials are the kernel's,
//! `JOURNAL_STREAM` and the pid file are compared with one value, `PWD` and `PATH` lead to files that are compared with the
//! running one, and command lines are clap's.

mod descriptors;
mod environment;
mod introduction;
mod listen;
mod notice;
mod predecessor;
mod said;
#[cfg(test)]
mod seeds;
mod successor;
mod visit;
mod wire;

/// A name, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("environment", environment::run),
    ("introduction", introduction::run),
    ("listen", listen::run),
    ("notice", notice::run),
    ("predecessor", predecessor::run),
    ("successor", successor::run),
    ("visit", visit::run),
    ("wire", wire::run),
];

/// In a runtime whose clock stands still: where nothing comes any more, a deadline has come at once.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    use tokio::runtime::{Builder, Runtime};
    thread_local! {
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}
