//! A consumer of a message queue: it has no listener, and a restart loses no job and begins none twice. The broker is
//! beanstalkd, whose protocol is a few lines of text.
//!
//! ```text
//! apt install beanstalkd && beanstalkd -l 127.0.0.1 &
//! cargo run --release --no-default-features --example consumer
//! printf 'use jobs\r\nput 0 0 60 5\r\nhello\r\nquit\r\n' | nc 127.0.0.1 11300    # a job, whose body is 5 bytes long
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it: each worker finishes its job, and acknowledges it
//! ```
//!
//! A worker that waits for a job is not interrupted: the broker may have sent one that has not arrived yet, and who
//! closes the connection then makes the broker pass it on again. So it waits for a second at a time, and looks in between
//! whether this generation's work is over. A broker that pushes is told to stop (AMQP's `basic.cancel`), and what has
//! arrived by its answer is worked on.
//!
//! What stays as it is without us: whoever is killed between the result and its acknowledgement has done a job that
//! the broker then passes on. That is repeated, not lost. The same goes for a job that takes longer than the drain's
//! deadline.

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{error::Error, io, net::SocketAddr, process::ExitCode, time::Duration};

use clap::Parser;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::sleep,
};
use tokio_hotrestart::Graceful;
use tokio_util::sync::CancellationToken;

/// Workers on a beanstalkd queue that replace themselves: SIGUSR2 restarts, SIGTERM stops.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Where the broker listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:11300")]
    broker: SocketAddr,
    /// The tube from which jobs are taken
    #[arg(long, value_name = "NAME", default_value = "jobs")]
    jobs: String,
    /// The tube into which results are put: the job's id, and who has worked on it
    #[arg(long, value_name = "NAME", default_value = "results")]
    results: String,
    /// How many jobs are worked on at a time
    #[arg(long, value_name = "N", default_value = "4")]
    workers: usize,
    /// How long the work on a job takes
    #[arg(long, value_name = "MS", default_value = "10")]
    work: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?;
    // Before `ready`: a successor that can't reach the broker ends here, and its predecessor works on.
    let mut brokers = Vec::new();
    for _ in 0..args.workers {
        brokers.push(Broker::connect(&args).await?);
    }

    graceful.ready().await?; // confirmed: from here on it is asked for jobs
    println!("ready generation={} pid={}", graceful.generation(), std::process::id());
    for broker in brokers {
        // The drain waits for each worker.
        graceful.spawn(work(broker, args.clone(), graceful.generation(), graceful.token()));
    }

    graceful.restart_signal().await; // a successor works, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// Works until the token says that this generation's work is over. A broker that goes away is looked for again.
async fn work(mut broker: Broker, args: Args, generation: u64, token: CancellationToken) {
    while let Err(error) = consume(&mut broker, &args, generation, &token).await {
        tracing::warn!(%error, "the broker can't be spoken to");
        broker = loop {
            if token.run_until_cancelled(sleep(Duration::from_secs(1))).await.is_none() {
                return;
            }
            match Broker::connect(&args).await {
                Ok(broker) => break broker,
                Err(error) => tracing::warn!(%error, "the broker is still gone"),
            }
        };
    }
}

/// Job after job: take it, work, acknowledge. The token is looked at only where nothing has been taken.
async fn consume(broker: &mut Broker, args: &Args, generation: u64, token: &CancellationToken) -> io::Result<()> {
    while !token.is_cancelled() {
        let Some(job) = broker.reserve().await? else { continue };
        sleep(Duration::from_millis(args.work)).await; // where a real consumer works
        tracing::debug!(job.id, body = %String::from_utf8_lossy(&job.body), "done");
        // First the result, and then the acknowledgement: a crash in between repeats the job, the other way round would
        // lose it.
        broker.put(&format!("{} {generation}", job.id)).await?;
        broker.delete(&job).await?;
    }
    Ok(())
}

struct Job {
    id: u64,
    body: Vec<u8>,
}

/// A connection to beanstalkd. What is reserved on it is ready again for anybody once it is closed.
struct Broker {
    stream: BufReader<TcpStream>,
}

impl Broker {
    async fn connect(args: &Args) -> io::Result<Self> {
        let stream = TcpStream::connect(args.broker).await?;
        stream.set_nodelay(true)?;
        let mut broker = Self { stream: BufReader::new(stream) };
        broker.ask(&format!("use {}", args.results), "USING ").await?;
        broker.ask(&format!("watch {}", args.jobs), "WATCHING ").await?;
        if args.jobs != "default" {
            broker.ask("ignore default", "WATCHING ").await?;
        }
        Ok(broker)
    }

    /// Waits for a job, for a second. Not cancel safe: who drops this has to close the connection.
    async fn reserve(&mut self) -> io::Result<Option<Job>> {
        let answer = self.answer("reserve-with-timeout 1").await?;
        if answer == "TIMED_OUT" {
            return Ok(None);
        }
        let numbers = answer.strip_prefix("RESERVED ").and_then(|numbers| numbers.split_once(' '));
        let numbers = numbers.and_then(|(id, length)| Some((id.parse().ok()?, length.parse::<usize>().ok()?)));
        let (id, length) = numbers.ok_or_else(|| surprise(&answer))?;
        let mut body = vec![0; length + 2];
        self.stream.read_exact(&mut body).await?;
        body.truncate(length); // without the line's end
        Ok(Some(Job { id, body }))
    }

    async fn put(&mut self, body: &str) -> io::Result<()> {
        let (priority, delay, time_to_run) = (0, 0, 60);
        let command = format!("put {priority} {delay} {time_to_run} {}\r\n{body}", body.len());
        self.ask(&command, "INSERTED ").await
    }

    /// Acknowledges a job. An error says that somebody else has it now, because the work took longer than the job's time
    /// to run.
    async fn delete(&mut self, job: &Job) -> io::Result<()> {
        self.ask(&format!("delete {}", job.id), "DELETED").await
    }

    async fn ask(&mut self, command: &str, expected: &str) -> io::Result<()> {
        let answer = self.answer(command).await?;
        if answer.starts_with(expected) { Ok(()) } else { Err(surprise(&answer)) }
    }

    async fn answer(&mut self, command: &str) -> io::Result<String> {
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn surprise(answer: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the broker says {answer}"))
}
