//! A connection for each request.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    Exchange,
    clients::{Client, http1::Http1, keep_alive::Link},
};

/// How long a server that was asked to close may take before the client does.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens a connection for each request.
pub(crate) async fn fresh(mut client: Client, exchange: Exchange) {
    client.take_turn().await;
    loop {
        let (asked, serial) = (client.ask(), client.serial());
        let attempt = async {
            let mut http = Http1::new(client.dial().await?);
            http.queue_last(&exchange, serial);
            let answer = http.answer().await?;
            exchange.check(serial, &answer)?;
            Ok((http, answer))
        };
        match asked.within(attempt).await {
            Ok((mut http, answer)) => {
                client.answered(asked, &answer);
                // The server ends first, so that TIME_WAIT is on its side: else this side would run out of ports
                // after some 28,000 connections. The answer is whole and counted, so the end may be any, or none.
                drop(timeout(PATIENCE, http.ended()).await);
            }
            Err(failure) => client.failed(&failure).await,
        }
        if client.goes_on() {
            client.think().await;
        }
        if !client.goes_on() {
            return;
        }
    }
}
