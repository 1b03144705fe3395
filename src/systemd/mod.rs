//! What systemd (or another manager that speaks its protocols) tells this process, and what it is told.
//!
//! It is told over datagrams to `NOTIFY_SOCKET` (`notify.rs`): ready, reloading, who the main process is, and the
//! descriptors that it is to keep. It tells by variables: how often the watchdog wants a sign of life (`watchdog.rs`), and
//! which descriptors it has opened for this process (`activation.rs`).

mod activation;
mod environment;
mod listen;
mod notice;
mod notify;
#[cfg(test)]
mod tests;
mod watchdog;

pub(crate) use activation::Activation;
pub(crate) use environment::Environment;
pub(crate) use notice::Notice;
pub(crate) use notify::Notifier;
pub(crate) use watchdog::Watchdog;
#[cfg(any(test, hotrestart_fuzzing))]
pub(crate) use {
    listen::{NotOffered, offered},
    notify::address,
};
