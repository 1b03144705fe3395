//! Whether somebody accepts, at any time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, timeout},
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
        if book.explains_gap(last, now) {
            gaps.explained = gaps.explained.max(gap);
        } else {
            gaps.longest = gaps.longest.max(gap);
            if gap > bound {
                book.violated(format!("somebody accepts at any time: not for {gap:?}, more than {bound:?}"));
            }
        }
        last = now;
    }
    Ok(gaps)
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
