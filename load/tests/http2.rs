//! Each bucket, by an HTTP/2 server that does what belongs into it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{collections::VecDeque, net::SocketAddr};

use bytes::Bytes;
use h2::{
    Reason,
    server::{self, SendResponse},
};
use http::{Request, Response};
use load::{Exchange, Load, Mode, Outcome, Tally};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a stream.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Answers.
    Answer,
    /// Answers this, says that it takes no more streams, and ends when those that it took have.
    AnswerAndGoAway,
    /// Resets the stream.
    Reset(Reason),
    /// Begins an answer, then resets the stream.
    AnswerHalf,
    /// Drops the connection.
    Leave,
}

/// Serves connections by these scripts: an act for each stream, and an answer beyond.
async fn misbehaving<const N: usize>(scripts: [&[Act]; N]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut scripts: VecDeque<Vec<Act>> = scripts.into_iter().map(<[Act]>::to_vec).collect();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A second small write would else wait for the client's delayed ACK.
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream, scripts.pop_front().unwrap_or_default()));
        }
    });
    address
}

async fn serve(stream: TcpStream, script: Vec<Act>) -> Result<(), h2::Error> {
    let mut connection = server::handshake(stream).await?;
    let mut script = script.into_iter().chain(std::iter::repeat(Act::Answer));
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        match script.next().expect("the script is endless") {
            Act::Answer => drop(tokio::spawn(answer(request, respond))),
            Act::AnswerAndGoAway => {
                connection.graceful_shutdown();
                drop(tokio::spawn(answer(request, respond)));
            }
            Act::Reset(reason) => respond.send_reset(reason),
            Act::AnswerHalf => {
                let mut body = respond.send_response(head(), false)?;
                body.send_data(vec![0; 65_535].into(), false)?;
                tokio::spawn(async move {
                    // The window is used up. It opens when the client has read: so the head came before the reset.
                    body.reserve_capacity(1);
                    std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
                    body.send_reset(Reason::INTERNAL_ERROR);
                });
            }
            Act::Leave => return Ok(()),
        }
    }
    Ok(())
}

fn head() -> Response<()> {
    Response::builder().header("x-generation", "0").body(()).unwrap()
}

async fn answer(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut echo = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        echo.extend_from_slice(&chunk);
    }
    let body = if echo.is_empty() { Bytes::from("hello world") } else { echo.into() };
    respond.send_response(head(), false)?.send_data(body, true)
}

async fn three_answers<const N: usize>(scripts: [&[Act]; N]) -> Tally {
    let mode = Mode::Http2 { exchange: Exchange::get(), streams: 1 };
    let load = Load::new(misbehaving(scripts).await, mode).start();
    load.reach(3).await.unwrap();
    load.stop().await
}

fn check_lost(tally: &Tally, outcome: Outcome) {
    assert_eq!((tally.count(outcome), tally.lost()), (1, 1), "{tally}");
}

#[tokio::test]
async fn a_good_server_loses_nothing() {
    for exchange in [Exchange::get(), Exchange::post(3_000), Exchange::post(300_000)] {
        let load = Load::new(misbehaving([]).await, Mode::Http2 { exchange, streams: 16 }).clients(2).start();
        load.reach(100).await.unwrap();
        let tally = load.stop().await;
        assert_eq!((tally.lost(), tally.reconnects()), (0, 0), "{tally}");
        assert_eq!(tally.generations()[&0].answered, tally.answered());
    }
}

#[tokio::test]
async fn a_connection_that_goes_away_is_left_and_nothing_lost() {
    let mode = Mode::Http2 { exchange: Exchange::post(3_000), streams: 8 };
    let script: &[Act] = &[Act::Answer, Act::Answer, Act::AnswerAndGoAway];
    let load = Load::new(misbehaving([script, script]).await, mode).start();
    load.reach(100).await.unwrap();
    let tally = load.stop().await;
    assert_eq!((tally.lost(), tally.told(), tally.untold()), (0, 2, 0), "{tally}");
}

#[tokio::test]
async fn a_refused_stream_is_unprocessed_and_no_loss() {
    let tally = three_answers([&[Act::Answer, Act::Reset(Reason::REFUSED_STREAM)]]).await;
    assert_eq!((tally.count(Outcome::H2Unprocessed), tally.lost()), (1, 0), "{tally}");
    assert_eq!(tally.reconnects(), 0, "{tally}");
}

#[tokio::test]
async fn a_stream_that_is_reset_for_another_reason_is_lost() {
    check_lost(&three_answers([&[Act::Answer, Act::Reset(Reason::CANCEL)]]).await, Outcome::Reset);
}

#[tokio::test]
async fn an_answer_that_is_reset_half_way_is_lost() {
    check_lost(&three_answers([&[Act::AnswerHalf]]).await, Outcome::Reset);
}

#[tokio::test]
async fn a_connection_that_ends_without_going_away_loses_its_streams() {
    let used = three_answers([&[Act::Answer, Act::Leave]]).await;
    check_lost(&used, Outcome::Raced);
    assert_eq!((used.told(), used.untold()), (0, 1), "{used}");
    check_lost(&three_answers([&[Act::Leave]]).await, Outcome::Cut);
}

#[tokio::test]
async fn a_server_that_speaks_no_http2_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mode = Mode::Http2 { exchange: Exchange::get(), streams: 1 };
    let load = Load::new(listener.local_addr().unwrap(), mode).start();
    drop(listener.accept().await.unwrap());
    let tally = load.stop().await;
    assert!(tally.lost() == 1 && tally.answered() == 0, "{tally}");
}
