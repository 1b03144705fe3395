//! HTTP/2.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use h2::{
    Reason,
    client::{ResponseFuture, SendRequest},
};
use http::Request;

use crate::{
    Exchange, Outcome,
    clients::Client,
    exchange::{Answer, Protocol, generation},
    failure::{Failure, Progress},
    meter::Asked,
    tally::Parting,
};

/// Keeps so many streams open on one connection.
pub(crate) async fn http2(mut client: Client, exchange: Exchange, streams: usize) {
    client.take_turn().await;
    loop {
        let asked = client.ask();
        let connected = async {
            let stream = client.connect().await?;
            h2::client::handshake(stream).await.map_err(|error| failure(&error, Progress::New))
        };
        match asked.within(connected).await {
            Err(failure) => client.failed(&failure).await,
            Ok((sender, driver)) => {
                // It fails with what its streams fail with, and ends when the last sender is gone.
                tokio::spawn(driver);
                let connection =
                    Connection { client: &client, exchange: &exchange, sender, used: AtomicBool::new(false) };
                let ends = join_all((0..streams.max(1)).map(|_| connection.ask_again_and_again(asked))).await;
                if ends.contains(&Parting::Told) {
                    client.told();
                }
            }
        }
        if !client.goes_on() {
            return;
        }
    }
}

/// What the streams of a connection share.
struct Connection<'a> {
    client: &'a Client,
    exchange: &'a Exchange,
    sender: SendRequest<Bytes>,
    /// At least one answer has come.
    used: AtomicBool,
}

impl Connection<'_> {
    /// Opens one stream after another, until nobody wants more or the connection takes no more.
    async fn ask_again_and_again(&self, first: Asked) -> Parting {
        let (mut asked, mut tried) = (first, false);
        loop {
            let serial = self.client.serial();
            match asked.within(async { Ok(self.open(serial).await) }).await {
                // The connection takes no more streams, and this request never left: it is no request yet.
                Ok(Err(error)) if error.is_go_away() && error.is_remote() => return Parting::Told,
                Ok(Err(_)) if tried || self.used.load(Relaxed) => return Parting::Untold,
                // But a new connection on which nothing can be asked is a failure: else a server that drops all
                // connections would look idle.
                Ok(Err(error)) => {
                    self.client.note(&failure(&error, Progress::New));
                    return Parting::Untold;
                }
                Ok(Ok(response)) => match asked.within(self.answer(serial, response)).await {
                    Ok(answer) => self.client.answered(asked, &answer),
                    Err(failure) => self.client.note(&failure),
                },
                Err(late) => self.client.note(&late),
            }
            if self.client.goes_on() {
                self.client.think().await;
            }
            if !self.client.goes_on() {
                return Parting::Untold;
            }
            (asked, tried) = (self.client.ask(), true);
        }
    }

    async fn open(&self, serial: u64) -> Result<ResponseFuture, h2::Error> {
        let Self { exchange, sender, .. } = self;
        let uri = format!("http://load{}", exchange.path());
        let mut request = Request::builder().method(exchange.method()).uri(uri);
        if exchange.protocol() == Protocol::Grpc {
            request = request.header("content-type", "application/grpc").header("te", "trailers");
        }
        let request = request.body(());
        let body = exchange.body(serial);
        let mut sender = sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request.expect("the parts are valid"), body.is_empty())?;
        if !body.is_empty() {
            // Where the stream has already ended, the response says how.
            drop(stream.send_data(body, true));
        }
        Ok(response)
    }

    async fn answer(&self, serial: u64, response: ResponseFuture) -> Result<Answer, Failure> {
        let unbegun = |error| {
            let progress = if self.used.load(Relaxed) { Progress::Reused } else { Progress::New };
            failure(&error, progress)
        };
        let begun = |error| failure(&error, Progress::Begun);
        let (head, mut body) = response.await.map_err(unbegun)?.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(begun)?;
            body.flow_control().release_capacity(chunk.len()).map_err(begun)?;
            bytes.extend_from_slice(&chunk);
        }
        if self.exchange.protocol() == Protocol::Grpc {
            let trailers = body.trailers().await.map_err(begun)?;
            // An answer without a message has it in its head.
            let status = trailers.as_ref().unwrap_or(&head.headers).get("grpc-status");
            if status.is_none_or(|status| status != "0") {
                return Err(Failure::wrong(format_args!("grpc-status {status:?}")));
            }
        }
        self.used.store(true, Relaxed);
        let generation = generation(&head.headers);
        let answer = Answer { status: head.status.as_u16(), generation, close: false, body: bytes.freeze() };
        self.exchange.check(serial, &answer)?;
        Ok(answer)
    }
}

fn failure(error: &h2::Error, progress: Progress) -> Failure {
    // A stream has such an error of a GOAWAY only where its number is beyond the last one that the server took.
    let unprocessed = error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
    match error.get_io() {
        _ if unprocessed && progress != Progress::Begun => Failure::new(Outcome::H2Unprocessed, error),
        Some(error) => Failure::ended(progress, Some(error)),
        None if error.is_remote() => Failure::new(Outcome::Reset, error),
        None => Failure::wrong(error),
    }
}
