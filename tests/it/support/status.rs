//! How a server is, as it says at its control path.

use std::path::Path;

use tokio_hotrestart::{
    control,
    status::{SocketStatus, Status},
};

pub fn status(path: &Path) -> Status {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(control::status(path)).expect("it answers")
}

/// Its sockets, in the order in which they are passed on, but for the one at which it was asked.
pub fn sockets(path: &Path) -> Vec<SocketStatus> {
    status(path).sockets.into_iter().filter(|it| !it.name.ends_with(" control")).collect()
}
