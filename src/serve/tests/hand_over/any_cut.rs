use http_body_util::{Either, Full};
use proptest::{collection, prelude::*};
use tokio::time::timeout;

use super::*;

/// A request, and what becomes of its body.
#[derive(Clone, Debug)]
struct Asked {
    body: Vec<u8>,
    is_chunked: bool,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Read to its end, and answered with.
    Echoed,
    /// Sent back as it comes.
    Streamed,
    /// Not looked at.
    Ignored,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Cut into what was read ahead, what lies in the kernel while the connection is away, and what is sent after that.
    #[test]
    fn whatever_a_stream_of_requests_and_wherever_it_is_cut_the_answers_are_as_without_a_handover(
        asked in collection::vec(asked(), 1..8),
        first in 0.0..=1.0,
        second in 0.0..=1.0,
        begins_first: bool,
    ) {
        let ends: Vec<_> = asked.iter().scan(0, |end, asked| { *end += asked.bytes().len(); Some(*end) }).collect();
        let length = *ends.last().unwrap();
        let mut cuts = [first, second].map(|cut: f64| (cut * length as f64) as usize);
        cuts.sort_unstable();
        // hyper closes a connection where a body that nobody reads has not come as a whole, or in chunks, handover or not.
        let is_cut = |at: usize| {
            let begin = if at == 0 { 0 } else { ends[at - 1] };
            cuts.iter().any(|cut| (begin + 1..ends[at]).contains(cut))
        };
        let asked: Vec<_> = asked.into_iter().enumerate().map(|(at, asked)| match asked.how {
            How::Ignored if asked.is_chunked || is_cut(at) => Asked { how: How::Echoed, ..asked },
            _ => asked,
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (answers, handed_over) = runtime.block_on(answers(&asked, cuts, begins_first));
        let expected: Vec<_> = asked.iter().map(Asked::answer).collect();
        prop_assert_eq!(answers, expected);
        prop_assert_eq!(handed_over, 1);
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let how = prop_oneof![Just(How::Echoed), Just(How::Streamed), Just(How::Ignored)];
    let body = prop_oneof![
        collection::vec(any::<u8>(), 0..40),
        // The worst that a body can be taken for.
        Just(b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
    ];
    (body, any::<bool>(), how).prop_map(|(body, is_chunked, how)| Asked { body, is_chunked, how })
}

impl Asked {
    fn bytes(&self) -> Vec<u8> {
        // All paths are of one length, so that what is read instead of ignored leaves the cuts where they are.
        let path = match self.how {
            How::Echoed => "/echo",
            How::Streamed => "/flow",
            How::Ignored => "/pass",
        };
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n");
        let (head, body) = if self.is_chunked {
            let chunks = self
                .body
                .chunks(7)
                .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            (head + "transfer-encoding: chunked\r\n\r\n", chunks.chain(*b"0\r\n\r\n").collect())
        } else {
            (format!("{head}content-length: {}\r\n\r\n", self.body.len()), self.body.clone())
        };
        [head.into_bytes(), body].concat()
    }

    fn answer(&self) -> Vec<u8> {
        if self.how == How::Ignored { b"ignored".to_vec() } else { self.body.clone() }
    }
}

async fn handle(request: Request<Incoming>) -> Result<Response<Either<Incoming, Full<Bytes>>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = match &*path {
        "/echo" => Either::Right(Full::new(request.into_body().collect().await.unwrap().to_bytes())),
        "/flow" => Either::Left(request.into_body()),
        "/pass" => Either::Right(Full::new("ignored".into())),
        other => panic!("nobody has asked for {other}"),
    };
    Ok(Response::new(body))
}

/// The bodies of the answers, and how many connections were handed over.
async fn answers(asked: &[Asked], [first, second]: [usize; 2], begins_first: bool) -> (Vec<Vec<u8>>, usize) {
    let stream: Vec<_> = asked.iter().flat_map(|asked| asked.bytes()).collect();
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(handle), service_fn(handle)).await;
    pair.settle().await; // it is accepted
    let begun = begins_first.then(|| pair.begin());
    client.io.write_all(&stream[..first]).await.unwrap();
    // Nobody carries: the predecessor does what it can.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let report = begun.unwrap_or_else(|| pair.begin());
    let away = timeout(Duration::from_millis(1), pair.departures.next()).await;
    client.io.write_all(&stream[first..second]).await.unwrap();
    if let Ok(offered) = away {
        pair.offer(&offered);
        pair.answer();
    }
    pair.settle().await;
    client.io.write_all(&stream[second..]).await.unwrap();
    pair.settle().await;
    let report = pair.during(report).await.unwrap();
    client.io.shutdown().await.unwrap();
    let mut read = Vec::new();
    client.io.read_to_end(&mut read).await.unwrap();
    (bodies(&read), report.handed_over())
}

/// Of all answers in a row.
fn bodies(mut read: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while !read.is_empty() {
        let head = line_end(read, b"\r\n\r\n");
        let text = String::from_utf8(read[..head].to_vec()).unwrap().to_lowercase();
        assert!(text.starts_with("http/1.1 200 ok\r\n"), "{text}");
        read = &read[head..];
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = match length {
            Some(length) => take(&mut read, length.parse().unwrap()),
            None => chunks(&mut read),
        };
        bodies.push(body);
    }
    bodies
}

fn chunks(read: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = take(read, line_end(read, b"\r\n"));
        let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        body.extend(take(read, length));
        assert_eq!(take(read, 2), b"\r\n");
        if length == 0 {
            return body;
        }
    }
}

fn take(read: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, rest) = read.split_at(length);
    *read = rest;
    taken.to_vec()
}

/// Behind the first such mark.
fn line_end(read: &[u8], mark: &[u8]) -> usize {
    read.windows(mark.len()).position(|window| window == mark).expect("an answer is whole") + mark.len()
}
