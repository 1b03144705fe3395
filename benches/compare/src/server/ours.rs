//! This crate, with its defaults, and with a control path, at which its operator is told.

use std::hint::black_box;

use tokio_hotrestart::{Graceful, serve::HandOver};

use super::{
    Setup,
    app::{AtRestart, Leaving, app},
    setup::Chain,
    websocket,
};

pub(super) async fn serve(setup: &Setup, hand_over: HandOver) -> anyhow::Result<()> {
    let graceful = Graceful::builder().control(setup.place.join("control")).build().await?;
    let at_restart = match hand_over {
        HandOver::Never => AtRestart::Told,
        _ => {
            websocket::go_on(&graceful)?;
            AtRestart::HandedOver(graceful.clone())
        }
    };
    let app = app(Leaving { token: graceful.token(), at_restart, ..Leaving::default() });
    for (number, address) in setup.addresses().enumerate() {
        let listener = graceful.listen(&format!("http-{number}"), address).await?;
        tokio::spawn(graceful.serve(listener, app.clone()).hand_over(hand_over));
    }
    let memory = setup.start_up(Chain::later_if(graceful.is_successor())).await;
    graceful.ready().await?;
    graceful.restart_signal().await;
    graceful.drain().await;
    black_box(memory);
    Ok(())
}
