//! Plain axum with its graceful shutdown, which is all that a server has which is stopped and started.

use std::{future::IntoFuture, hint::black_box, net, time::Duration};

use anyhow::Context;
use axum::serve::{Listener, ListenerExt};
use listenfd::ListenFd;
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use super::{
    Setup,
    app::{Leaving, app},
    setup::Chain,
};

/// Until SIGTERM. It says when it is ready: to systemd, it would be.
pub(super) async fn serve(setup: &Setup, listeners: Vec<TcpListener>) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let memory = setup.start_up(Chain::First).await;
    let leaving = Leaving::default();
    let stopped = leaving.token.clone();
    tokio::spawn(async move {
        stop.recv().await;
        stopped.cancel();
    });
    println!("ready");
    until_left(listeners, leaving).await?;
    black_box(memory);
    Ok(())
}

/// Serves until it is told to leave, and then until everybody has been served.
pub(super) async fn until_left<L>(listeners: Vec<L>, leaving: Leaving) -> anyhow::Result<()>
where
    L: Listener<Io = TcpStream, Addr: std::fmt::Debug>,
{
    let app = app(leaving.clone());
    let mut servers = JoinSet::new();
    for listener in listeners {
        // As ours does. Where it fails the connection has ended, and whoever reads it sees that.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let server = axum::serve(listener, app.clone()).with_graceful_shutdown(leaving.token.clone().cancelled_owned());
        servers.spawn(server.into_future());
    }
    while let Some(served) = servers.join_next().await {
        served??;
    }
    leaving.left().await;
    Ok(())
}

/// What a service manager has passed.
pub(super) fn activated(setup: &Setup) -> anyhow::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    (0..setup.sockets)
        .map(|number| Ok(tokio_listener(passed.take_tcp_listener(number)?.context("a socket is missing")?)?))
        .collect()
}

/// Bound beside whoever is there.
pub(super) fn reuse_port(setup: &Setup) -> anyhow::Result<Vec<TcpListener>> {
    setup
        .addresses()
        .map(|address| {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(tokio_listener(socket.into())?)
        })
        .collect()
}

/// As ours has by default: nobody loses a client by a short queue.
pub(super) const BACKLOG: i32 = 4096;

/// For how long one that can't accept waits, as axum does.
pub(super) const SHORTAGE: Duration = Duration::from_secs(1);

pub(super) fn tokio_listener(listener: net::TcpListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
