//! shellflip, with the graceful shutdown of axum. It passes no sockets: the application does, here as standard input,
//! which each process inherits from the one before it.

use std::{env, hint::black_box, io, net, os::fd::AsFd};

use shellflip::RestartConfig;

use super::{
    Setup,
    app::Leaving,
    setup::Chain,
    stopped::{tokio_listener, until_left},
};

/// At its socket it is asked to restart.
pub(super) async fn serve(setup: &Setup) -> anyhow::Result<()> {
    let listener = tokio_listener(net::TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?))?;
    // Before the restart task: that one takes it away.
    let chain = Chain::later_if(env::var_os("OXY_NOTIFY_SOCKET").is_some());
    let memory = setup.start_up(chain).await;
    let restarted = RestartConfig {
        enabled: true,
        coordination_socket_path: setup.place.join("control"),
        exit_on_error: false, // who can't be replaced serves on
        ..RestartConfig::default()
    }
    .try_into_restart_task()?;
    let leaving = Leaving::default();
    let left = leaving.token.clone();
    tokio::spawn(async move {
        match restarted.await {
            Ok(_successor) => left.cancel(),
            Err(why) => eprintln!("{why}"),
        }
    });
    until_left(vec![listener], leaving).await?;
    black_box(memory);
    Ok(())
}
