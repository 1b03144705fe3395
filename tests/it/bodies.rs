//! Requests that were begun before the drain: the generation that has accepted them finishes them, whole.

use crate::support::{
    Fleet,
    drain::{GRACE, drained, pass, server},
    http::Client,
    server::large,
};

const SIZE: usize = 6_000_000;

#[track_caller]
fn clean(client: Client) {
    assert_eq!(client.rest().expect("no reset"), b"");
}

/// Its head said nothing of an end, so the client is not told, and is let go when it idles.
#[test]
fn a_stream_goes_on_to_its_end() {
    let ask = |fleet: &mut Fleet| {
        let mut client = Client::connect(fleet.http);
        client.ask("/stream/800");
        let head = client.peek().expect("a head");
        assert!(!head.contains("connection: close"), "{head}");
        client
    };
    let read = |mut client: Client| {
        let answer = client.answer().expect("all of it");
        let lines: String = (0..16).map(|number| format!("chunk {number}\n")).collect();
        assert_eq!((answer.generation, String::from_utf8(answer.body).unwrap()), (0, lines));
        clean(client);
    };
    drained(server, ask, read, "http1:1/0/0/0");
}

#[test]
fn a_download_by_a_slow_reader_is_whole() {
    let ask = |fleet: &mut Fleet| {
        let mut client = Client::connect(fleet.http);
        client.ask(&format!("/large/{SIZE}"));
        client.peek().expect("a head");
        client
    };
    let read = |mut client: Client| {
        pass(2 * GRACE);
        let answer = client.answer().expect("all of it");
        assert!(answer.body == large(SIZE), "{} bytes", answer.body.len());
        clean(client);
    };
    drained(server, ask, read, "http1:1/0/0/0");
}

#[test]
fn an_upload_is_taken_to_its_end_and_answered_whole() {
    let body = large(SIZE);
    let (half, rest) = body.split_at(SIZE / 2);
    let begin = |fleet: &mut Fleet| {
        let mut client = Client::connect(fleet.http);
        client.announce(SIZE);
        client.say(half);
        client
    };
    let finish = |mut client: Client| {
        pass(2 * GRACE);
        client.say(rest);
        let answer = client.answer().expect("all of it");
        assert!(answer.close && answer.generation == 0);
        assert!(answer.body == body, "{} bytes", answer.body.len());
        clean(client);
    };
    drained(server, begin, finish, "http1:1/1/0/0");
}

#[test]
fn a_pipeline_in_the_midst_of_a_large_answer_is_answered_up_to_the_one_that_tells() {
    let ask = |fleet: &mut Fleet| {
        let mut client = Client::connect(fleet.http);
        (0..3).for_each(|_| client.ask(&format!("/large/{SIZE}")));
        client.peek().expect("a head");
        client
    };
    let read = |mut client: Client| {
        pass(2 * GRACE);
        let first = client.answer().expect("all of it");
        let second = client.answer().expect("all of it");
        assert_eq!((first.close, second.close), (false, true));
        assert!(first.body == large(SIZE) && second.body == large(SIZE));
        clean(client);
    };
    drained(server, ask, read, "http1:1/1/0/0");
}
