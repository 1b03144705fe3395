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
    time::{Instant, timeout},
};

/// Runs what the application wants done in a task of its own, from now on and until the deadline, and says what has become
/// of it: a panic, or one that never ends, is a predicate for a sentence ("panicked: …", "was not done within 10 s").
/// One that blocks its thread may stop the whole runtime, as any task that does; it is late then all the same.
///
/// Dropped, or at the deadline, the task is aborted.
pub(crate) fn guarded<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    deadline: Duration,
) -> impl Future<Output = Result<T, String>> + Send + 'static {
    let began = Instant::now();
    let timed = async move { (work.await, began.elapsed()) };
    let done = timeout(deadline, Aborting(tokio::spawn(timed)));
    async move {
        match done.await {
            Ok(Ok((output, elapsed))) if elapsed <= deadline => Ok(output),
            Ok(Err(error)) => Err(unfinished(error)),
            Ok(Ok(_)) | Err(_) => Err(format!("was not done within {deadline:?}")),
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
pub(crate) fn said_by(panic: &(dyn Any + Send)) -> &str {
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

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use tokio::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_is_done_gives_its_output() {
        assert_eq!(guarded(async { 7 }, LONG).await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_told_in_its_own_words() {
        let literal = guarded(async { panic!("no disk") }, LONG).await;
        assert_eq!(literal, Err::<(), _>("panicked: no disk".into()));
        let number = 9;
        let formatted = guarded(async move { panic!("disk {number}") }, LONG).await;
        assert_eq!(formatted, Err::<(), _>("panicked: disk 9".into()));
        let other = guarded(async { std::panic::panic_any(9) }, LONG).await;
        assert_eq!(other, Err::<(), _>("panicked: with something that is no text".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_aborted_at_its_deadline_which_counts_from_its_beginning() {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let began = Instant::now();
        let late = guarded(
            async move {
                pending::<()>().await;
                drop(holds);
            },
            LONG,
        );
        tokio::time::advance(LONG / 2).await;
        assert_eq!(late.await, Err("was not done within 10s".into()));
        assert_eq!(began.elapsed(), LONG);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_aborted() {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        drop(guarded(
            async move {
                pending::<()>().await;
                drop(holds);
            },
            LONG,
        ));
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_blocks_its_thread_stops_nobody_who_waits() {
        let (unblock, blocks) = std::sync::mpsc::channel::<()>();
        let late = guarded(async move { blocks.recv().is_err() }, Duration::from_millis(1)).await;
        assert_eq!(late, Err("was not done within 1ms".into()));
        drop(unblock);
    }
}
