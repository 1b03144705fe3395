use axum::{Router, routing::get};
use tokio_hotrestart::Graceful;

#[tokio::main]
async fn main() -> Result<(), tokio_hotrestart::Error> {
    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let listener = graceful.listen("http", "0.0.0.0:8080").await?; // inherited, activated by systemd, or bound
    let app = Router::new().route("/", get(|| async { "hello" }));
    tokio::spawn(graceful.serve(listener, app)); // accepts once this generation is confirmed
    graceful.ready().await?; // confirmed: the predecessor lets go
    graceful.restart_signal().await; // SIGUSR2 and the successor serves; or SIGTERM
    println!("{}", graceful.drain().await); // finish what was accepted, by a deadline
    Ok(())
}
