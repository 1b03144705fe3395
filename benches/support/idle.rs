//! Clients that have asked once and idle: without a runtime, so that ten thousand of them cost nothing.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A connection that is used once, and stays open.
pub(crate) fn ask_once(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    ask_again(&mut stream)?;
    Ok(stream)
}

/// The head of the answer.
pub(crate) fn ask_again(stream: &mut TcpStream) -> anyhow::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")?;
    let mut answer = [0; 512];
    let read = stream.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..read]);
    let head = answer.strip_suffix("\r\n\r\nhello world");
    Ok(head.ok_or_else(|| anyhow::anyhow!("{answer:?}"))?.to_owned())
}
