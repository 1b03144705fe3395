//! Whether somebody accepts, at any time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::book::Book;

/// The longest time from one answer to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gaps {
    pub(super) probes: u64,
    /// While nothing that we did explains it.
    pub(super) longest: Duration,
    /// While somebody was held up or killed.
    pub(super) explained: Duration,
}

/// Connects again and again and asks, each time with a new connection.
pub(super) async fn probe(
    address: SocketAddr,
    bound: Duration,
    book: Arc<Book>,
    enough: CancellationToken,
) -> anyhow::Result<Gaps> {
    let mut gaps = Gaps::default();
    let mut clock = interval(Duration::from_millis(50));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let lateness = Lateness::default();
    let metronome = tokio::spawn(lateness.clone().measure());
    let mut last = Instant::now();
    while !enough.is_cancelled() {
        clock.tick().await;
        let asked = Instant::now();
        let mut local = None;
        if let Err(error) =
            timeout(Book::PATIENCE, ask(address, &mut local)).await.unwrap_or_else(|late| Err(late.into()))
        {
            book.lost("probe", local, asked, &error.to_string());
            continue;
        }
        let now = Instant::now();
        let gap = now - last;
        gaps.probes += 1;
        let (explained, late) = (book.explained_of(last, now), lateness.take());
        let rest = gap.saturating_sub(explained + late);
        if explained.is_zero() {
            gaps.longest = gaps.longest.max(rest);
        } else {
            gaps.explained = gaps.explained.max(gap);
        }
        if rest > bound {
            let why =
                format!("{explained:?} of it while somebody was held up, {late:?} because we were late ourselves");
            book.violated(format!("somebody accepts at any time: not for {gap:?}, {why}; more than {bound:?}"));
        }
        last = now;
    }
    metronome.abort();
    Ok(gaps)
}

/// For how long this program itself was not given the processor: no server explains that.
#[derive(Clone, Default)]
struct Lateness(Arc<AtomicU64>);

impl Lateness {
    async fn measure(self) {
        const BEAT: Duration = Duration::from_millis(10);
        // As late as a timer may be by itself.
        const FINE: Duration = Duration::from_millis(5);
        loop {
            let due = Instant::now() + BEAT;
            sleep_until(due).await;
            let late = due.elapsed();
            if late > FINE {
                self.0.fetch_add(late.as_micros().try_into().unwrap_or(u64::MAX), Relaxed);
            }
        }
    }

    /// Since the last time.
    fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Relaxed))
    }
}

async fn ask(address: SocketAddr, local: &mut Option<SocketAddr>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    *local = Some(stream.local_addr()?);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    anyhow::ensure!(answer.ends_with(b"hello world"), "{:?}", String::from_utf8_lossy(&answer));
    Ok(())
}
