//! Asking again and again on one connection.

use crate::{
    Exchange,
    clients::{Client, http1::Http1, websocket::WebSocket},
    exchange::Answer,
    failure::Failure,
    tally::Parting,
    target::Stream,
};

/// Asks again and again over HTTP/1.1.
pub(crate) async fn keep_alive(client: Client, exchange: Exchange) {
    ask_again_and_again::<Http1>(client, exchange).await;
}

/// Sends message after message on a WebSocket.
pub(crate) async fn websocket(client: Client, exchange: Exchange) {
    ask_again_and_again::<WebSocket>(client, exchange).await;
}

/// A connection on which one request is asked at a time.
pub(super) trait Link: Sized {
    /// Makes the link from a new connection.
    async fn open(stream: Stream, exchange: &Exchange) -> Result<Self, Failure>;

    /// Asks, and waits for the answer.
    async fn ask(&mut self, exchange: &Exchange, serial: u64) -> Result<Answer, Failure>;

    /// Waits until the idle link ends. Cancel safe.
    async fn ended(&mut self) -> Result<Parting, Failure>;

    /// Takes leave, as the protocol has it.
    async fn close(self) -> Result<(), Failure>;
}

async fn ask_again_and_again<L: Link>(mut client: Client, exchange: Exchange) {
    let mut link: Option<L> = None;
    client.take_turn().await;
    loop {
        let (asked, serial) = (client.ask(), client.serial());
        let attempt = async {
            let mut link = match link.take() {
                Some(link) => link,
                None => L::open(client.connect().await?, &exchange).await?,
            };
            let answer = link.ask(&exchange, serial).await?;
            exchange.check(serial, &answer)?;
            Ok((link, answer))
        };
        match asked.within(attempt).await {
            Ok((kept, answer)) => {
                client.answered(asked, &answer);
                if answer.close {
                    client.told();
                } else {
                    link = Some(kept);
                }
            }
            Err(failure) => client.failed(&failure).await,
        }
        if client.rests() && client.goes_on() {
            link = rest(&mut client, link).await;
        }
        if !client.goes_on() {
            break;
        }
    }
    if let Some(link) = link {
        // Every answer is counted; what happens to a leave-taking is no request's outcome.
        drop(client.ask().within(link.close()).await);
    }
}

/// Rests with an eye on the link: a client that rests sees its connection end, and asks on a new one.
async fn rest<L: Link>(client: &mut Client, link: Option<L>) -> Option<L> {
    let Some(mut link) = link else {
        client.rest().await;
        return None;
    };
    let mut end = None;
    {
        let mut rested = std::pin::pin!(client.rest());
        tokio::select! {
            // The link first: whoever looks once more before asking sees an end that came with the end of the pause.
            biased;
            ended = link.ended() => {
                end = Some(ended);
                rested.await;
            }
            () = &mut rested => {}
        }
    }
    match end {
        None => return Some(link),
        Some(Ok(Parting::Told)) => client.told(),
        Some(Ok(Parting::Untold)) => {}
        Some(Err(failure)) => client.failed(&failure).await,
    }
    None
}
