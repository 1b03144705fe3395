//! The application's own futures, at arm's length.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinHandle},
    time::timeout,
};

/// Runs what the application wants done in a task of its own, from now on and until the deadline, and says what has become
/// of it: a panic, or one that never ends, is a predicate for a sentence ("panicked: …", "was not done within 10 s"). One that
/// blocks its thread stops nobody who waits here.
///
/// Dropped, or at the deadline, the task is aborted.
pub(crate) fn guarded<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    deadline: Duration,
) -> impl Future<Output = Result<T, String>> + Send + 'static {
    let done = timeout(deadline, Aborting(tokio::spawn(work)));
    async move {
        match done.await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => Err(unfinished(error)),
            Err(_elapsed) => Err(format!("was not done within {deadline:?}")),
        }
    }
}

fn unfinished(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("panicked: {}", said_by(panic.as_ref())),
        Err(_cancelled) => "was ended with the runtime".into(),
    }
}

/// `panic!` with a literal gives a `&str`, with arguments a `String`, and `panic_any` whatever it was given.
fn said_by(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("with something that is no text")
}

struct Aborting<T>(JoinHandle<T>);

impl<T> Future for Aborting<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
