//! ecdysis, with the graceful shutdown of axum.

use std::{hint::black_box, net::SocketAddr};

use axum::serve::Listener;
use ecdysis::tokio_ecdysis::{SignalKind, StopOnShutdown, StoppableStream, TokioEcdysisBuilder};
use tokio::{net::TcpStream, time::sleep};
use tokio_stream::{StreamExt, wrappers::TcpListenerStream};

use super::{
    Setup,
    app::Leaving,
    setup::Chain,
    stopped::{BACKLOG, SHORTAGE, until_left},
};

/// SIGHUP restarts it, SIGTERM ends it.
pub(super) async fn serve(setup: &Setup) -> anyhow::Result<()> {
    let mut builder = TokioEcdysisBuilder::new(SignalKind::hangup())?;
    builder.stop_on_signal(SignalKind::terminate())?;
    let bind = |address: SocketAddr| {
        builder.build_listen_tcp(StopOnShutdown::Yes, address, |socket, address| {
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
    };
    let listeners =
        setup.addresses().map(|address| Ok(Accepting(bind(address)?))).collect::<anyhow::Result<Vec<_>>>()?;
    let memory = setup.start_up(Chain::later_if(builder.is_child())).await;
    let leaving = Leaving::default();
    let left = leaving.token.clone();
    let (_ecdysis, ended) = builder.ready()?;
    tokio::spawn(async move {
        match ended.await {
            Ok(_) => left.cancel(),
            Err(why) => eprintln!("{why}"), // it serves on, as who can't restart
        }
    });
    until_left(listeners, leaving).await?;
    black_box(memory);
    Ok(())
}

/// A stream of connections, as axum wants it.
struct Accepting(StoppableStream<TcpListenerStream>);

impl Listener for Accepting {
    type Io = TcpStream;
    type Addr = ();

    async fn accept(&mut self) -> (TcpStream, ()) {
        loop {
            match self.0.next().await {
                Some(Ok(stream)) => return (stream, ()),
                Some(Err(_)) => sleep(SHORTAGE).await,
                // It has ended, and axum is told so by another way.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}
