//! Several requests written in one go.

use std::collections::VecDeque;

use crate::{
    Exchange, Outcome,
    clients::{Client, http1::Http1},
    failure::Failure,
    meter::Asked,
};

/// Writes `depth` requests in one go, then reads the answers.
pub(crate) async fn pipelined(mut client: Client, exchange: Exchange, depth: usize) {
    let mut kept = None;
    let mut unanswered: VecDeque<u64> = (0..depth.max(1)).map(|_| client.serial()).collect();
    client.take_turn().await;
    loop {
        let asked = client.ask();
        kept = ask(&mut client, &exchange, asked, kept, &mut unanswered).await;
        if client.goes_on() {
            client.think().await;
        }
        if client.goes_on() {
            let missing = depth.saturating_sub(unanswered.len());
            unanswered.extend((0..missing).map(|_| client.serial()));
        } else if unanswered.is_empty() {
            // Only now: what is to be sent again is sent again, although nobody wants more.
            return;
        }
    }
}

/// Asks all that is unanswered, and leaves what is to be asked again. Gives back the connection if it goes on.
async fn ask(
    client: &mut Client,
    exchange: &Exchange,
    asked: Asked,
    kept: Option<Http1>,
    unanswered: &mut VecDeque<u64>,
) -> Option<Http1> {
    let connected = async {
        let mut http = match kept {
            Some(http) => http,
            None => Http1::new(client.connect().await?),
        };
        unanswered.iter().for_each(|&serial| http.queue(exchange, serial));
        Ok(http)
    };
    let mut http = match asked.within(connected).await {
        Ok(http) => http,
        Err(failure) => return all_failed(client, &failure, unanswered).await,
    };
    while let Some(&serial) = unanswered.front() {
        let answer = async {
            let answer = http.answer().await?;
            exchange.check(serial, &answer)?;
            Ok(answer)
        };
        match asked.within(answer).await {
            Err(failure) => return all_failed(client, &failure, unanswered).await,
            Ok(answer) => {
                client.answered(asked, &answer);
                unanswered.pop_front();
                if answer.close {
                    client.told();
                    let not_carried_out = Failure::new(Outcome::UnansweredAfterClose, "behind `connection: close`");
                    for _ in &*unanswered {
                        client.failed(&not_carried_out).await;
                    }
                    return None;
                }
            }
        }
    }
    Some(http)
}

/// One connection carried them all, so they went down together.
async fn all_failed(client: &mut Client, failure: &Failure, unanswered: &mut VecDeque<u64>) -> Option<Http1> {
    for _ in unanswered.drain(..) {
        client.failed(failure).await;
    }
    None
}
