use std::{any::Any, sync::Arc};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::{Io, socket, transport::Transport};
use crate::Tracked;

/// The socket beneath an upgraded connection of `serve`, and the bytes that were read of it and not used.
///
/// For what is done with the socket itself: handing it over (`Graceful::hand_over`) at a restart. What reads from an
/// `Upgraded` goes through hyper's layers, which may have read ahead: so it is taken apart before anything was read from
/// it, and these bytes come first.
///
/// `T` is what the listener gives: [`TcpStream`](tokio::net::TcpStream), [`UnixStream`](tokio::net::UnixStream), or what
/// [`Serve::handshake`](super::Serve::handshake) makes of it. The connection counts as before, by the same guard, in its place
/// among [`max_connections`](super::Serve::max_connections), and with the policy of its answer, until the [`Tracked`] is dropped.
///
/// # Errors
///
/// The same again, where it is not one of `serve` over a `T`: an HTTP/2 stream, a connection of another server.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use std::convert::Infallible;
/// use http::{Request, Response, StatusCode, header};
/// use hyper::{body::Incoming, service::service_fn};
/// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::UnixStream};
/// use tokio_hotrestart::{Graceful, serve};
///
/// let graceful = Graceful::detached();
/// let (mut client, server) = UnixStream::pair()?;
/// tokio::spawn(graceful.serve_connection(server, service_fn(|mut request: Request<Incoming>| async move {
///     tokio::spawn(async move {
///         let upgraded = hyper::upgrade::on(&mut request).await?;
///         let (mut stream, ahead) = serve::downcast::<UnixStream>(upgraded).expect("it was accepted so");
///         stream.write_all(&ahead).await?; // as a first echo
///         tokio::io::copy(&mut tokio::io::empty(), &mut stream).await?;
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
///     });
///     let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header(header::CONNECTION, "upgrade");
///     Ok::<_, Infallible>(response.header(header::UPGRADE, "echo").body(String::new()).expect("it is well formed"))
/// })));
///
/// client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello").await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
/// # graceful.drain().await; Ok(()) }
/// ```
pub fn downcast<T: Io>(upgraded: Upgraded) -> Result<(Tracked<T>, Vec<u8>), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<Transport<T>>>()?;
    let (io, ahead, link) = parts.io.into_inner().into_io();
    // What hyper has read came first, and what it has not yet read of our buffer lies behind it.
    let read = [parts.read_buf, ahead].concat();
    let (watch, policy) = (link.watch.clone(), link.policy());
    let guard = link.guard().standing_in(Arc::clone(&link) as Arc<dyn Any + Send + Sync>);
    let stream = Tracked::new(io, watch, guard).policy(policy);
    Ok((if link.is_shared() { stream.before_close(shut_down::<T>) } else { stream }, read))
}

fn shut_down<T: Io>(io: &T) {
    socket::shut_down(io);
}
