//! Each bucket, by a WebSocket server that does what belongs into it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use load::{Exchange, Load, Mode, Outcome, Tally};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Error, Message,
        handshake::server::{Request, Response},
    },
};

/// What the server does with a message.
#[derive(Clone, Copy, Debug)]
enum Act {
    Echo,
    /// Sends something else.
    Lie,
    /// Sends a close frame instead.
    Close,
    /// Echoes, then sends a close frame.
    EchoAndClose,
    /// Drops the connection.
    Leave,
    /// Resets the connection.
    Reset,
}

/// Serves connections by these scripts: an act for each message, and an echo beyond.
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

async fn serve(stream: TcpStream, script: Vec<Act>) -> Result<(), Error> {
    #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
    let generation = |_: &Request, mut response: Response| {
        response.headers_mut().insert("x-generation", 0.into());
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, generation).await?;
    for act in script.into_iter().chain(std::iter::repeat(Act::Echo)) {
        let message = loop {
            match socket.next().await {
                Some(Ok(Message::Pong(_))) => {}
                Some(Ok(message @ Message::Binary(_))) => break message,
                _ => return Ok(()),
            }
        };
        match act {
            Act::Echo => {
                socket.send(Message::Ping("are you there".into())).await?;
                socket.send(message).await?;
            }
            Act::Lie => socket.send(Message::binary("something else")).await?,
            Act::Close => return take_leave(socket).await,
            Act::EchoAndClose => {
                socket.send(message).await?;
                return take_leave(socket).await;
            }
            Act::Leave => return Ok(()),
            Act::Reset => return Ok(socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO))?),
        }
    }
    Ok(())
}

async fn take_leave(mut socket: tokio_tungstenite::WebSocketStream<TcpStream>) -> Result<(), Error> {
    socket.close(None).await?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

fn messages() -> Mode {
    Mode::WebSocket(Exchange::messages(100))
}

async fn three_answers<const N: usize>(scripts: [&[Act]; N]) -> Tally {
    let load = Load::new(misbehaving(scripts).await, messages()).start();
    load.reach(3).await.unwrap();
    load.stop().await
}

fn check_lost(tally: &Tally, outcome: Outcome) {
    assert_eq!((tally.count(outcome), tally.lost()), (1, 1), "{tally}");
}

#[tokio::test]
async fn a_good_server_loses_nothing() {
    let load = Load::new(misbehaving([]).await, messages()).clients(4).start();
    load.reach(100).await.unwrap();
    let tally = load.stop().await;
    assert_eq!((tally.lost(), tally.reconnects()), (0, 0), "{tally}");
    assert_eq!(tally.generations()[&0].answered, tally.answered());
}

#[tokio::test]
async fn a_close_frame_instead_of_the_echo_is_no_loss() {
    let tally = three_answers([&[Act::Echo, Act::Close]]).await;
    assert_eq!((tally.count(Outcome::UnansweredAfterClose), tally.lost()), (1, 0), "{tally}");
    assert_eq!((tally.told(), tally.untold()), (1, 0), "{tally}");
}

#[tokio::test]
async fn a_client_that_pauses_sees_the_close_frame() {
    let load = Load::new(misbehaving([&[Act::EchoAndClose]]).await, messages());
    let load = load.think(Duration::from_millis(5)).start();
    load.reach(3).await.unwrap();
    let tally = load.stop().await;
    assert_eq!((tally.count(Outcome::UnansweredAfterClose), tally.lost()), (0, 0), "{tally}");
    assert_eq!((tally.told(), tally.untold()), (1, 0), "{tally}");
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_lost() {
    for act in [Act::Leave, Act::Reset] {
        let used = three_answers([&[Act::Echo, act]]).await;
        check_lost(&used, Outcome::Raced);
        assert_eq!((used.told(), used.untold()), (0, 1), "{used}");
    }
    check_lost(&three_answers([&[Act::Leave]]).await, Outcome::Cut);
    check_lost(&three_answers([&[Act::Reset]]).await, Outcome::Reset);
}

#[tokio::test]
async fn another_message_than_the_echo_is_wrong() {
    check_lost(&three_answers([&[Act::Lie]]).await, Outcome::Wrong);
}

#[tokio::test]
async fn an_end_in_the_handshake_is_cut_and_a_refusal_is_wrong() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let load = Load::new(listener.local_addr().unwrap(), messages()).start();
    drop(listener.accept().await.unwrap());
    let (mut refused, _) = listener.accept().await.unwrap();
    let refusal = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut refused, refusal).await.unwrap();
    let (last, _) = listener.accept().await.unwrap();
    let (tally, ()) = tokio::join!(load.stop(), async { drop(last) });
    assert_eq!(tally.count(Outcome::Wrong), 1, "{tally}");
    assert!(tally.count(Outcome::Cut) + tally.count(Outcome::Reset) == 2 && tally.lost() == 3, "{tally}");
}
