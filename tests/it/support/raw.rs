//! A line protocol over a Unix socket (`HR_LINES=<path>`), whose live connections are handed over. Each line is answered with
//! the generation that answers it.

use std::env;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use tokio_hotrestart::{Error, Graceful, Tracked, drain::EndInput, raw::NotHandedOver};

use super::server::say;

const PROTOCOL: &str = "lines";

pub async fn open(graceful: &Graceful) -> Result<(), Error> {
    let Some(path) = env::var_os("HR_LINES") else { return Ok(()) };
    let mut listener = graceful.listen_unix("lines", path).await?;
    let mut inherited = graceful.inherited(PROTOCOL)?;
    let heir = graceful.clone();
    tokio::spawn(async move {
        while let Some(arrival) = inherited.next().await {
            let (stream, half_a_line) = arrival.into_unix().expect("there is no other such listener");
            tokio::spawn(serve(heir.clone(), stream, half_a_line));
        }
    });
    let graceful = graceful.clone();
    tokio::spawn(async move {
        while let Some((stream, _)) = graceful.accept(&mut listener).await {
            tokio::spawn(serve(graceful.clone(), graceful.tracker().track(stream), Vec::new()));
        }
    });
    Ok(())
}

/// Goes by itself when the client has said all, and when what has come before a drain is answered.
async fn serve(graceful: Graceful, mut stream: Tracked<UnixStream>, mut read: Vec<u8>) -> std::io::Result<()> {
    let (generation, watch, mut is_told) = (graceful.generation(), graceful.watch(), false);
    loop {
        while let Some(end) = read.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            stream.write_all(format!("{generation} {}", String::from_utf8_lossy(&line)).as_bytes()).await?;
        }
        tokio::select! {
            biased;
            cause = watch.draining(), if !is_told => {
                is_told = true;
                if cause.is_replaced() {
                    say(format_args!("leaving generation={generation}"));
                    match graceful.hand_over(stream, PROTOCOL, read).await {
                        Ok(()) => return Ok(()),
                        Err(NotHandedOver::Back { stream: same, state, why }) => {
                            say(format_args!("back generation={generation} kind={:?}", why.kind()));
                            (stream, read) = (same, state);
                        }
                        Err(NotHandedOver::Lost { .. }) => {
                            say(format_args!("lost generation={generation}"));
                            return Ok(());
                        }
                    }
                }
                stream = stream.end_input(EndInput::AfterWhatCame);
            }
            length = stream.read_buf(&mut read) => if length? == 0 {
                return stream.close().await;
            },
        }
    }
}
