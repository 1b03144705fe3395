//! Datagrams, each of which is answered at most once.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::book::Book;

/// What became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Datagrams {
    pub(super) sent: u64,
    pub(super) answered: u64,
    /// A killed process may have had them, or nobody was there.
    pub(super) explained: u64,
}

/// Those whose answer is still to come, and for some time those whose answer has come.
#[derive(Default)]
struct Away {
    figures: Datagrams,
    sent: VecDeque<(u64, Instant, bool)>,
}

/// Sends some each second, until it is enough.
pub(super) async fn send(server: SocketAddr, book: Arc<Book>, enough: CancellationToken) -> anyhow::Result<Datagrams> {
    const EVERY: Duration = Duration::from_millis(10);
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    socket.connect(server).await?;
    let away = Arc::<Mutex<Away>>::default();
    let (listening, heard, noted) = (Arc::clone(&socket), Arc::clone(&away), Arc::clone(&book));
    let listener = tokio::spawn(async move {
        let mut datagram = [0; 8];
        loop {
            // An error says that nobody was there: what was sent then stays without an answer.
            if listening.recv(&mut datagram).await.is_ok() {
                heard.lock().unwrap_or_else(PoisonError::into_inner).answered(u64::from_le_bytes(datagram), &noted);
            }
        }
    });
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        if enough.is_cancelled() {
            break;
        }
        clock.tick().await;
        let now = Instant::now();
        {
            let mut away = away.lock().unwrap_or_else(PoisonError::into_inner);
            away.forget(now, &book);
            away.figures.sent += 1;
            away.sent.push_back((number, now, false));
        }
        // What can't be sent is lost like one that is not answered.
        drop(socket.send(&number.to_le_bytes()).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    listener.abort();
    let mut away = away.lock().unwrap_or_else(PoisonError::into_inner);
    away.forget(Instant::now() + Book::PATIENCE, &book);
    Ok(away.figures)
}

impl Away {
    fn answered(&mut self, number: u64, book: &Book) {
        let first = self.sent.front().map_or(0, |(number, ..)| *number);
        let Some(one) = number.checked_sub(first).and_then(|at| self.sent.get_mut(at as usize)) else {
            return book.violated(format!("a datagram is answered at most once: {number} was settled long ago"));
        };
        if std::mem::replace(&mut one.2, true) {
            return book.violated(format!("a datagram is answered at most once: {number} was answered twice"));
        }
        self.figures.answered += 1;
    }

    /// Those that are older than anybody's patience.
    fn forget(&mut self, now: Instant, book: &Book) {
        while let Some((number, sent, answered)) = self.sent.front().copied() {
            if now - sent < Book::PATIENCE {
                return;
            }
            if !answered {
                if book.explains_datagram(sent) {
                    self.figures.explained += 1;
                } else {
                    book.violated(format!("no datagram is lost: {number}, sent {:?} ago", sent.elapsed()));
                }
            }
            self.sent.pop_front();
        }
    }
}
