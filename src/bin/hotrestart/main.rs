//! `hotrestart`: asks a server at its control path for a restart, its status or a stop, waits for the outcome, and
//! prints it.

mod json;
mod page;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use tokio_hotrestart::{
    Error, ErrorKind,
    control::{self, Reply, Request},
};

/// Asks a server that restarts itself, and waits for the outcome.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 done; 1 failed (a line says what that means for the server); 2 usage; \
    3 nobody there; 4 busy or not ready; 5 not within a deadline."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Has the server replaced by a successor
    Restart(Asked),
    /// Shows how the server is
    Status(Asked),
    /// Stops the server, without a successor
    Stop(Asked),
}

#[derive(Args)]
struct Asked {
    /// The server's control path; one that begins with @ is an abstract name
    path: PathBuf,
    /// Prints one line of JSON, also when it fails
    #[arg(long)]
    json: bool,
    /// Gives up the answer after so long; what was asked for goes on
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    deadline: Option<Duration>,
}

/// Why there is no reply.
enum Failure {
    Error(Error),
    /// Our own deadline.
    Late(Duration),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(usage) => {
            // There is nobody else to tell that it can't be told.
            let _ = usage.print();
            return ExitCode::from(usage.exit_code() as u8);
        }
    };
    let (request, asked) = match command_line.command {
        Command::Restart(asked) => (Request::Restart, asked),
        Command::Status(asked) => (Request::Status, asked),
        Command::Stop(asked) => (Request::Stop, asked),
    };
    let outcome = ask(request, &asked).await;
    let text = match (&outcome, asked.json) {
        (Ok(reply), false) => page::reply(reply),
        (Err(failure), false) => page::failure(failure),
        (outcome, true) => format!("{}\n", json::outcome(outcome)),
    };
    let written = match (&outcome, asked.json) {
        (Err(_), false) => io::stderr().write_all(text.as_bytes()),
        _ => io::stdout().write_all(text.as_bytes()),
    };
    // The reader is gone, as in `hotrestart … | head -1`. What the server did it has done, and the exit status says so.
    let _ = written;
    ExitCode::from(outcome.map_or_else(|failure| exit_status(failure.kind()), |_| 0))
}

async fn ask(request: Request, asked: &Asked) -> Result<Reply, Failure> {
    let reply = control::ask(&asked.path, request);
    let Some(deadline) = asked.deadline else {
        return reply.await.map_err(Failure::Error);
    };
    let reply = tokio::time::timeout(deadline, reply).await;
    reply.map_err(|_elapsed| Failure::Late(deadline))?.map_err(Failure::Error)
}

fn exit_status(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Nobody => 3,
        ErrorKind::Busy | ErrorKind::NotReady => 4,
        ErrorKind::Deadline => 5,
        _ => 1,
    }
}

impl Failure {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Error(error) => error.kind(),
            Self::Late(_) => ErrorKind::Deadline,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Error(error) => error.message().to_owned(),
            Self::Late(deadline) => format!("the server did not answer within {} s", deadline.as_secs_f64()),
        }
    }

    /// The server's own word, as far as it has given one.
    fn error(&self) -> Option<&Error> {
        match self {
            Self::Error(error) => Some(error),
            Self::Late(_) => None,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
