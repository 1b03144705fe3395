use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use load::Open;
use tokio::{
    runtime,
    sync::watch,
    time::{sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{AFTERMATH, CLOSING};
use crate::{process::has_ended, systems::pid_of};

/// For how long a successor is looked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at a restart from a thread of its own: on that of the clients, it would wait in their queue.
#[derive(Clone, Debug)]
pub(super) struct Lookout {
    seen: watch::Receiver<Seen>,
    /// When it gives the successor up.
    until: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// When another process than the one before first answered a new connection.
    answered: Option<Instant>,
    /// When the one before had ended.
    ended: Option<Instant>,
}

impl Lookout {
    /// Ends when nobody asks any more.
    pub(super) fn post(address: SocketAddr, before: u64) -> anyhow::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (see, seen) = watch::channel(Seen::default());
        std::thread::spawn(move || {
            let successor = async {
                let answered = timeout(PATIENCE, successor(address, before)).await;
                see.send_modify(|seen| seen.answered = answered.ok());
            };
            let end = async {
                while !has_ended(before) {
                    sleep(Duration::from_millis(2)).await;
                }
                see.send_modify(|seen| seen.ended = Some(Instant::now()));
            };
            runtime.block_on(async {
                tokio::select! {
                    _both = async { tokio::join!(successor, end) } => {}
                    () = see.closed() => {}
                }
            });
        });
        Ok(Self { seen, until: Instant::now() + PATIENCE })
    }

    /// When the successor first answered; `None` if it has not within [`PATIENCE`].
    pub(super) async fn answered(&mut self) -> Option<Instant> {
        let answered = self.seen.wait_for(|seen| seen.answered.is_some());
        timeout_at(self.until.into(), answered).await.ok()?.ok()?.answered
    }

    /// When the process before has ended; `None` if it has not until then.
    pub(super) async fn ended(&mut self, until: Instant) -> Option<Instant> {
        let ended = self.seen.wait_for(|seen| seen.ended.is_some());
        timeout_at(until.into(), ended).await.ok()?.ok()?.ended
    }

    /// Closes the window when the old process has ended, within its bounds. Dropped, at once.
    pub(super) fn close(mut self, open: Open) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            if let Some(answered) = self.answered().await {
                let _whether = self.ended(answered + CLOSING).await;
                sleep_until((answered + AFTERMATH).into()).await;
            }
            drop(open);
        }))
    }
}

/// When another process than this one answers a new connection.
async fn successor(address: SocketAddr, before: u64) -> Instant {
    loop {
        match pid_of(address).await {
            Some(pid) if pid != before => return Instant::now(),
            _ => sleep(Duration::from_millis(1)).await,
        }
    }
}
