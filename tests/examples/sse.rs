//! `examples/sse.rs`.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Sender, channel},
    },
    thread,
};

use nix::sys::signal::Signal;

use super::{RESTARTS, Server, in_order};

#[test]
fn no_event_is_skipped_or_comes_twice() {
    let mut server = Server::start("sse", &[]);
    let address = server.address("http");
    let (tell, told) = channel();
    let stopping = Arc::<AtomicBool>::default();
    let listen = |_| {
        let (tell, stopping) = (tell.clone(), Arc::clone(&stopping));
        thread::spawn(move || listen(address, &tell, &stopping))
    };
    let clients: Vec<_> = (0..8).map(listen).collect();
    for generation in 0..RESTARTS {
        // Whatever they hear from here on they hear of one that serves now.
        for _ in told.try_iter() {}
        told.iter().take(2 * clients.len()).for_each(drop);
        server.restart();
        in_order(&server.report(generation));
    }
    stopping.store(true, Relaxed);
    server.signal(Signal::SIGTERM);
    in_order(&server.report(RESTARTS));
    for client in clients {
        let streams = client.join().expect("all in order");
        assert!(streams > RESTARTS, "{streams}");
    }
    server.until_all_have_ended();
}

/// Listens, and comes back whenever the stream ends, until there is nobody any more. How many streams there were.
fn listen(address: SocketAddr, tell: &Sender<u64>, stopping: &AtomicBool) -> u64 {
    let (mut next, mut streams) = (0, 0);
    loop {
        let last = if next > 0 { format!("last-event-id: {}\r\n", next - 1) } else { String::new() };
        // In chunks, an event in each; the last one is empty, and without it the stream was cut.
        let lines = TcpStream::connect(address).and_then(|mut stream| {
            write!(stream, "GET /events HTTP/1.1\r\nhost: localhost\r\n{last}\r\n")?;
            let mut lines = BufReader::new(stream).lines();
            let head = lines.next().unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()))?;
            assert_eq!(head, "HTTP/1.1 200 OK");
            Ok(lines)
        });
        let mut lines = match lines {
            // Refused, or reset by the kernel when the listener closes.
            Err(error) => {
                assert!(stopping.load(Relaxed), "{error}");
                return streams;
            }
            Ok(lines) => lines,
        };
        loop {
            let line = lines.next().expect("an end in order").expect("a line");
            if let Some(id) = line.strip_prefix("id: ") {
                assert_eq!(id.parse(), Ok(next));
                next += 1;
                // Nobody listens at the end.
                let _ = tell.send(next);
            }
            if line == "0" {
                break;
            }
        }
        streams += 1;
    }
}
