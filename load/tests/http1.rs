//! Each bucket, by an HTTP/1.1 server that does what belongs into it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod server;

use std::{os::fd::OwnedFd, path::PathBuf, time::Duration};

use load::{Exchange, Load, Mode, Outcome, Signpost, Tally};
use server::{Act, misbehaving};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

const WHOLE: &str = "HTTP/1.1 200 OK\r\nx-generation: 0\r\ncontent-length: 11\r\n\r\nhello world";
const HALF: &str = "HTTP/1.1 200 OK\r\nx-generation: 0\r\ncontent-length: 11\r\n\r\nhello";

fn keep_alive() -> Mode {
    Mode::KeepAlive(Exchange::get())
}

/// One client asks such a server until three requests were answered.
async fn three_answers<const N: usize>(mode: Mode, scripts: [&[Act]; N]) -> Tally {
    let load = Load::new(misbehaving(scripts).await, mode).start();
    load.reach(3).await.unwrap();
    load.stop().await
}

/// Exactly this one was lost.
fn check_lost(tally: &Tally, outcome: Outcome) {
    assert_eq!((tally.count(outcome), tally.lost()), (1, 1), "{tally}");
    assert_eq!(tally.failures().len(), 1, "{tally}");
}

#[tokio::test]
async fn a_good_server_loses_nothing() {
    let exchanges = [Exchange::get(), Exchange::post(3_000), Exchange::post(0), Exchange::post(1_000_000)];
    for exchange in exchanges {
        let modes = [
            Mode::KeepAlive(exchange.clone()),
            Mode::Steady { exchange: exchange.clone(), every: Duration::from_millis(1) },
            Mode::Fresh(exchange.clone()),
            Mode::Pipelined { exchange, depth: 8 },
        ];
        for mode in modes {
            let load = Load::new(misbehaving([]).await, mode).clients(4).start();
            load.reach(100).await.unwrap();
            let tally = load.stop().await;
            assert_eq!((tally.lost(), tally.reconnects()), (0, 0), "{tally}");
            assert_eq!(tally.generations()[&0].answered, tally.answered());
            assert_eq!(tally.outside().count(), tally.answered());
        }
    }
}

#[tokio::test]
async fn each_client_asks_at_least_once() {
    let load = Load::new(misbehaving([]).await, keep_alive()).clients(7).start();
    assert_eq!(load.stop().await.answered(), 7);
}

#[tokio::test]
async fn a_signpost_turns_new_connections_and_no_others() {
    const ELSEWHERE: &str = "HTTP/1.1 200 OK\r\nx-generation: 1\r\ncontent-length: 11\r\n\r\nhello world";
    let signpost = Signpost::new(misbehaving([]).await);
    let kept = Load::new(signpost.clone(), keep_alive()).start();
    let fresh = Load::new(signpost.clone(), Mode::Fresh(Exchange::get())).start();
    kept.reach(3).await.unwrap();
    signpost.turn(misbehaving([&[Act::SayAndLeave(ELSEWHERE)]]).await);
    fresh.generation(1).await.unwrap();
    kept.reach(3).await.unwrap();
    let (kept, fresh) = (kept.stop().await, fresh.stop().await);
    assert_eq!((kept.lost() + fresh.lost(), kept.reconnects()), (0, 0), "{kept}\n{fresh}");
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for mode in [keep_alive(), Mode::Fresh(Exchange::get())] {
        let tally = Load::new(closed, mode).clients(3).start().stop().await;
        assert_eq!((tally.count(Outcome::Refused), tally.lost(), tally.answered()), (3, 3, 0), "{tally}");
    }
    let pipelined = Mode::Pipelined { exchange: Exchange::get(), depth: 4 };
    let tally = Load::new(closed, pipelined).start().stop().await;
    assert_eq!((tally.count(Outcome::Refused), tally.lost()), (4, 4), "{tally}");
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_connect_error() {
    let tally = Load::new("/nonexistent/socket", keep_alive()).start().stop().await;
    check_lost(&tally, Outcome::ConnectError);
}

#[tokio::test]
async fn an_end_before_the_answer_is_raced_on_a_used_connection() {
    let tally = three_answers(keep_alive(), [&[Act::Answer, Act::Leave]]).await;
    check_lost(&tally, Outcome::Raced);
    assert_eq!((tally.told(), tally.untold()), (0, 1));
}

#[tokio::test]
async fn a_reset_before_the_answer_is_raced_on_a_used_connection() {
    let tally = three_answers(keep_alive(), [&[Act::Answer, Act::Reset]]).await;
    check_lost(&tally, Outcome::Raced);
}

#[tokio::test]
async fn a_close_without_notice_races_a_client_that_does_not_pause() {
    let tally = three_answers(keep_alive(), [&[Act::AnswerThenLeave]]).await;
    check_lost(&tally, Outcome::Raced);
}

#[tokio::test]
async fn an_end_before_the_answer_is_cut_on_a_new_connection() {
    for mode in [keep_alive(), Mode::Fresh(Exchange::get())] {
        check_lost(&three_answers(mode, [&[Act::Leave]]).await, Outcome::Cut);
    }
}

#[tokio::test]
async fn an_end_in_the_middle_of_the_answer_is_cut() {
    check_lost(&three_answers(keep_alive(), [&[Act::Answer, Act::SayAndLeave(HALF)]]).await, Outcome::Cut);
    check_lost(&three_answers(keep_alive(), [&[Act::Answer, Act::SayAndLeave("HTTP")]]).await, Outcome::Cut);
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n";
    check_lost(&three_answers(keep_alive(), [&[Act::SayAndLeave(chunk)]]).await, Outcome::Cut);
}

#[tokio::test]
async fn a_reset_in_the_middle_of_the_answer_is_a_reset() {
    check_lost(&three_answers(keep_alive(), [&[Act::SayAndReset(HALF)]]).await, Outcome::Reset);
}

#[tokio::test]
async fn a_reset_before_the_answer_is_a_reset_on_a_new_connection() {
    for mode in [keep_alive(), Mode::Fresh(Exchange::get())] {
        check_lost(&three_answers(mode, [&[Act::Reset]]).await, Outcome::Reset);
    }
}

#[tokio::test]
async fn an_answer_with_another_status_body_or_header_is_wrong() {
    let wrong = [
        "HTTP/1.1 503 Service Unavailable\r\nx-generation: 0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-generation: 0\r\ncontent-length: 11\r\n\r\nhello_world",
        "HTTP/1.1 200 OK\r\nx-generation: 0\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nx-generation: none\r\ncontent-length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\nx-generation: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ];
    for words in wrong {
        check_lost(&three_answers(keep_alive(), [&[Act::Answer, Act::Say(words)]]).await, Outcome::Wrong);
    }
}

#[tokio::test]
async fn the_answer_of_another_request_is_wrong() {
    let other = "HTTP/1.1 200 OK\r\nx-generation: 0\r\ncontent-length: 4\r\n\r\n\x07\x08\x09\x0a";
    let tally = three_answers(Mode::KeepAlive(Exchange::post(4)), [&[Act::Say(other)]]).await;
    check_lost(&tally, Outcome::Wrong);
}

#[tokio::test]
async fn no_answer_by_the_deadline_is_timed_out() {
    for act in [Act::Stall, Act::Say(HALF), Act::Say("")] {
        let target = misbehaving([&[act]]).await;
        let load = Load::new(target, keep_alive()).deadline(Duration::from_millis(20)).start();
        check_lost(&load.stop().await, Outcome::TimedOut);
    }
}

#[tokio::test]
async fn an_end_after_connection_close_is_no_loss() {
    let tally = three_answers(keep_alive(), [&[Act::Answer, Act::AnswerAndClose], &[Act::AnswerAndClose]]).await;
    assert_eq!((tally.lost(), tally.told(), tally.untold()), (0, 2, 0), "{tally}");
}

#[tokio::test]
async fn a_client_that_pauses_sees_the_end_of_its_connection() {
    let target = misbehaving([&[Act::Answer, Act::AnswerThenLeave]]).await;
    let load = Load::new(target, keep_alive()).think(Duration::from_millis(5)).start();
    load.reach(3).await.unwrap();
    let tally = load.stop().await;
    assert_eq!((tally.lost(), tally.told(), tally.untold()), (0, 0, 1), "{tally}");
}

#[tokio::test]
async fn words_to_a_client_that_pauses_are_wrong() {
    let words = "HTTP/1.1 200 OK\r\nx-generation: 0\r\ncontent-length: 11\r\n\r\nhello world and more";
    let target = misbehaving([&[Act::Say(words)]]).await;
    let load = Load::new(target, keep_alive()).think(Duration::from_millis(5)).start();
    load.reach(3).await.unwrap();
    check_lost(&load.stop().await, Outcome::Wrong);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_end_of_a_pause() {
    let load = Load::new(misbehaving([]).await, keep_alive()).think(Duration::from_secs(3600)).start();
    load.reach(1).await.unwrap();
    assert_eq!(load.stop().await.answered(), 1);
}

#[tokio::test]
async fn what_is_behind_connection_close_in_a_pipeline_is_asked_again() {
    let pipelined = Mode::Pipelined { exchange: Exchange::post(200_000), depth: 5 };
    let target = misbehaving([&[Act::Answer, Act::AnswerAndClose]]).await;
    let tally = Load::new(target, pipelined).start().stop().await;
    assert_eq!((tally.lost(), tally.answered()), (0, 5), "{tally}");
    assert_eq!((tally.count(Outcome::UnansweredAfterClose), tally.told()), (3, 1), "{tally}");
}

#[tokio::test]
async fn what_is_behind_a_cut_in_a_pipeline_is_lost_with_it() {
    let pipelined = Mode::Pipelined { exchange: Exchange::get(), depth: 5 };
    let target = misbehaving([&[Act::Answer, Act::SayAndLeave(HALF)]]).await;
    let load = Load::new(target, pipelined).start();
    let tally = load.stop().await;
    assert_eq!((tally.answered(), tally.count(Outcome::Cut), tally.lost()), (1, 4, 4), "{tally}");
}

#[tokio::test]
async fn chunks_and_interim_answers_are_understood() {
    let words = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nx-generation: 7\r\ntransfer-encoding: chunked\r\n\r\n\
                 6\r\nhello \r\n5;why=not\r\nworld\r\n0\r\ntrailer: x\r\n\r\n";
    let tally = three_answers(keep_alive(), [&[Act::Say(words)]]).await;
    assert_eq!((tally.lost(), tally.generations()[&7].answered), (0, 1), "{tally}");
}

/// A Unix socket with room for one client in its queue.
fn narrow(name: &str) -> (UnixListener, PathBuf) {
    let path = std::env::temp_dir().join(format!("load-{name}-{}", std::process::id()));
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    socket.set_nonblocking(true).unwrap();
    (UnixListener::from_std(OwnedFd::from(socket).into()).unwrap(), path)
}

#[tokio::test]
async fn a_unix_server_whose_queue_is_full_is_waited_for() {
    let (listener, path) = narrow("full");
    let load = Load::new(path.clone(), keep_alive()).clients(8).start();
    // The queue is full by now: all clients have begun to connect.
    tokio::task::yield_now().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                while stream.read(&mut request).await.unwrap() > 0 {
                    stream.write_all(WHOLE.as_bytes()).await.unwrap();
                }
            });
        }
    });
    load.reach(100).await.unwrap();
    let tally = load.stop().await;
    std::fs::remove_file(path).unwrap();
    assert_eq!((tally.lost(), tally.reconnects()), (0, 0), "{tally}");
}

#[tokio::test]
async fn a_unix_server_that_never_accepts_is_timed_out() {
    let (_listener, path) = narrow("idle");
    let load = Load::new(path.clone(), keep_alive()).clients(8).deadline(Duration::from_millis(20)).start();
    let tally = load.stop().await;
    std::fs::remove_file(path).unwrap();
    assert_eq!((tally.count(Outcome::TimedOut), tally.lost()), (8, 8), "{tally}");
}
