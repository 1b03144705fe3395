//! The servers that are compared: one router, one runtime flavour; only who serves differs.

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    fmt,
    future::IntoFuture,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::Context;
use axum::{Router, routing::get};
use clap::ValueEnum;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_hotrestart::{Graceful, serve::HandOver};

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// `Graceful::serve`.
    Ours,
    /// The same without handing connections over.
    Never,
    /// `axum::serve`.
    Plain,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Plain];

    /// Is this server, until SIGTERM.
    pub(crate) fn serve(self) -> anyhow::Result<()> {
        let app = Router::new().route("/", get(|| async { "hello world" }));
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            match self {
                Self::Ours | Self::Never => {
                    let graceful = Graceful::new().await?;
                    let listener = graceful.listen("http", "127.0.0.1:0").await?;
                    println!("{}", listener.local_addr()?);
                    let serve = graceful.serve(listener, app);
                    tokio::spawn(if self == Self::Never { serve.hand_over(HandOver::Never) } else { serve });
                    graceful.ready().await?;
                    graceful.restart_signal().await;
                }
                Self::Plain => {
                    let mut stop = signal(SignalKind::terminate())?;
                    let listener = TcpListener::bind("127.0.0.1:0").await?;
                    println!("{}", listener.local_addr()?);
                    tokio::spawn(axum::serve(listener, app).into_future());
                    stop.recv().await;
                }
            }
            Ok(())
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Never => "never",
            Self::Plain => "plain",
        })
    }
}

/// Such a server, as a process of its own: this program, run once more.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Subject {
    pub(crate) fn start(kind: Kind) -> anyhow::Result<Self> {
        Self::start_by(Command::new(std::env::current_exe()?), kind)
    }

    /// By a command that runs this program under something else.
    pub(crate) fn start_by(mut command: Command, kind: Kind) -> anyhow::Result<Self> {
        command.args(["--serve", &kind.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("{line:?} from {command:?}"));
        // It is ended whether or not it has said something sensible.
        let mut subject = Self { kind, address: SocketAddr::from(([0; 4], 0)), child };
        subject.address = address?;
        Ok(subject)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in peace, and returns what it has said on stderr, if that is piped.
    pub(crate) fn stop(mut self) -> anyhow::Result<String> {
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGTERM)?;
        let said = self.child.stderr.take().map(std::io::read_to_string).transpose()?;
        self.child.wait()?;
        Ok(said.unwrap_or_default())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Both fail where it has ended, and that is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
