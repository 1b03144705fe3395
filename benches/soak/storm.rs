//! Hundreds of connections at once that are no good clients.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::book::Book;

/// Hundreds of connections at once that are no good clients.
#[derive(Clone, Copy, Debug)]
pub(super) enum Storm {
    /// They say nothing.
    Silent,
    /// Half a head.
    HalfHead,
    /// They reset their connection at once.
    Reset,
    /// They ask, and hang up before the answer.
    HangUp,
    /// They read a large answer slowly, but to its end.
    SlowReader,
}

impl Storm {
    pub(super) const ALL: [Self; 5] = [Self::Silent, Self::HalfHead, Self::Reset, Self::HangUp, Self::SlowReader];

    /// Whoever waits for an answer is a client whose loss counts.
    pub(super) async fn blow(self, address: SocketAddr, count: u32, time: Duration, book: Arc<Book>) {
        // A large answer lies in memory for each of them.
        let count = if let Self::SlowReader = self { count.div_ceil(10) } else { count };
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..count {
            let book = Arc::clone(&book);
            all.spawn(async move {
                let asked = Instant::now();
                let Ok(Ok(stream)) = timeout(Book::PATIENCE, TcpStream::connect(address)).await else {
                    return book.lost("storm", None, asked, "no connection");
                };
                let local = stream.local_addr().ok();
                if let Err(error) = self.one(stream, time).await {
                    book.lost("storm", local, asked, &format!("{self:?}: {error}"));
                }
            });
        }
        while let Some(ended) = all.join_next().await {
            if let Err(error) = ended {
                book.violated(format!("connections of storms end in order: {error}"));
            }
        }
    }

    async fn one(self, mut stream: TcpStream, time: Duration) -> anyhow::Result<()> {
        // Whoever hangs up loses nothing, whatever becomes of its words.
        match self {
            Self::Silent => sleep(time).await,
            Self::HalfHead => {
                drop(stream.write_all(b"GET / HTTP/1.1\r\nho").await);
                sleep(time).await;
            }
            Self::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO))?,
            Self::HangUp => {
                drop(stream.write_all(b"GET /slow/900 HTTP/1.1\r\nhost: soak\r\n\r\n").await);
                sleep(time / 3).await;
            }
            Self::SlowReader => timeout(Book::PATIENCE, read_slowly(stream, time)).await??,
        }
        Ok(())
    }
}

async fn read_slowly(mut stream: TcpStream, time: Duration) -> anyhow::Result<()> {
    const SIZE: usize = 1 << 20;
    const PIECES: u32 = 16;
    SockRef::from(&stream).set_recv_buffer_size(32 << 10)?;
    let request = format!("GET /large/{SIZE} HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut piece, mut read) = (vec![0; SIZE / PIECES as usize], 0);
    loop {
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            break;
        }
        read += length;
        sleep(time / PIECES / 4).await;
    }
    anyhow::ensure!(read > SIZE, "{read} bytes of more than {SIZE}");
    Ok(())
}
