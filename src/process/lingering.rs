//! Successors that may serve, and are not wanted any more.

use std::{
    future::{pending, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, sleep_until};

use super::{
    DEATH, Successor,
    body::{Body, Spawned},
};

/// Foreign successors that were told to end, or have said that they do. They have accepted from their first moment on, so
/// each has a time to finish what it has begun. One that takes longer is killed: with its duplicates of the listeners it would
/// let clients wait whom nobody serves, long after this process. So is one that was only being started, as soon as it is.
#[derive(Debug, Default)]
pub(crate) struct Lingering(Vec<Ending>);

#[derive(Debug)]
struct Ending {
    body: Body,
    until: Instant,
    killed: bool,
}

/// What has become of one.
enum News {
    Started(Spawned),
    Ended,
}

impl Lingering {
    /// One that has ended already is not waited for.
    pub(crate) fn add(&mut self, successor: Successor, until: Instant) {
        self.0.push(Ending { body: successor.into_body(), until, killed: false });
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing gets any time any more.
    pub(crate) fn cut(&mut self) {
        self.kill(|_| true);
    }

    /// Until there is one less. Cancel safe.
    pub(crate) async fn next(&mut self) {
        loop {
            let due = self.0.iter().map(|it| it.until).min();
            let news = poll_fn(|context| {
                let mut all = self.0.iter_mut().enumerate();
                let news = all.find_map(|(index, it)| match it.poll_news(context) {
                    Poll::Ready(news) => Some((index, news)),
                    Poll::Pending => None,
                });
                news.map_or(Poll::Pending, Poll::Ready)
            });
            let over = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                (index, news) = news => match news {
                    News::Ended => {
                        self.0.swap_remove(index).body.reap();
                        return;
                    }
                    News::Started(spawned) => {
                        match self.0[index].body.settle(spawned) {
                            Ok(pid) => crate::log::debug!(successor_pid = pid, "not wanted any more: it is killed"),
                            Err(error) => crate::log::debug!(%error, "not wanted any more, and has not come to be"),
                        }
                        self.0[index].end_by_force();
                    }
                },
                () = over => {
                    let (now, before) = (Instant::now(), self.0.len());
                    self.0.retain(|it| !(it.killed && it.until <= now));
                    if self.0.len() < before {
                        crate::log::warn!("a successor that is to end hangs in the kernel: it is not waited for");
                        return;
                    }
                    self.kill(|it| it.until <= now);
                }
            }
        }
    }

    fn kill(&mut self, which: impl Fn(&Ending) -> bool) {
        for ending in self.0.iter_mut().filter(|it| !it.killed && which(it)) {
            if let Some(pid) = ending.body.pid().filter(|_| !ending.body.has_ended()) {
                crate::log::warn!(successor_pid = pid, "a successor that was told to end has not: it is killed");
            }
            ending.end_by_force();
        }
    }
}

impl Ending {
    fn end_by_force(&mut self) {
        self.body.kill();
        self.killed = true;
        self.until = Instant::now() + DEATH;
    }

    fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<News> {
        match &mut self.body {
            Body::Spawning(spawned) => Pin::new(spawned).poll(context).map(News::Started),
            // An error means that the reactor is gone, and then nothing is awaited any more.
            Body::Alive(process) => process.poll_read_ready(context).map(|_| News::Ended),
            Body::Come | Body::Elsewhere | Body::Gone => Poll::Ready(News::Ended),
        }
    }
}
