//! What only one process may have, handed from generation to generation: an exclusive lock on a file.
//!
//! ```text
//! cargo run --release --example lock -- --lock /tmp/example.lock
//! curl localhost:8080     # which generation answers, and whether it holds the lock
//! kill -USR2 <pid>        # replaces it: the lock goes to the successor, or comes back if that one fails
//! kill -TERM <pid>        # stops it
//! ```
//!
//! For a moment within a restart nobody has the lock, and requests are answered all the same. What needs it (jobs, a
//! database that one process may open) stands still in that moment; what can't bear that has no use for two processes.

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    env,
    error::Error,
    fs::File,
    io, mem,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, routing::get};
use clap::Parser;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_hotrestart::{Graceful, hooks::Hook};

/// A server that only one process can be, and that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The file to lock, which is made if it is not there
    #[arg(long, value_name = "PATH", default_value_os_t = env::temp_dir().join("hotrestart-example.lock"))]
    lock: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let listener = graceful.listen("http", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let lock = Arc::new(Lock::open(args.lock)?);

    let (released, taken_back) = (Arc::clone(&lock), Arc::clone(&lock));
    let hook = Hook::before_commit(
        "lock",
        move || {
            let lock = Arc::clone(&released);
            async move { lock.release() }
        },
        move || {
            let lock = Arc::clone(&taken_back);
            async move { lock.take_back().await }
        },
    );
    // A successor that is stopped in its probation finishes what it has accepted, and holds the lock until it has ended.
    graceful.hook(hook.deadline(Duration::from_secs(30)));

    let (generation, held) = (graceful.generation(), Arc::clone(&lock));
    let answer = move || async move { format!("generation {generation} holds the lock: {}\n", held.is_held()) };
    tokio::spawn(graceful.serve(listener, Router::new().route("/", get(answer)))); // accepts once it is confirmed

    if !graceful.is_successor() && !lock.try_take()? {
        return Err("another server holds the lock".into());
    }
    graceful.ready().await?; // confirmed: the predecessor has released the lock, or is dead
    // Of a dead one the channel may be closed a moment before the lock is, so this may wait; and what waits can be stopped,
    // or replaced: then it waits for nothing any more, for the hook has called it off.
    tokio::select! {
        taken = lock.take() => taken?,
        _ = graceful.restart_signal() => {}
    }
    println!("ready generation={generation} pid={} http={address}", std::process::id());

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// A lock on a file, which the kernel takes back when this process ends, however it does. The file stays: a lock on one
/// that was removed and made anew would be another lock.
struct Lock {
    path: PathBuf,
    claim: Mutex<Claim>,
}

/// What this process has of the lock.
enum Claim {
    /// Whoever tries to take it may.
    Wanted,
    Held(Flock<File>),
    /// It belongs to a successor, or will at once. Whoever still waits for it here must not take it from that one.
    Released,
}

impl Lock {
    /// So that a path which is of no use is found out here, and not in the middle of a restart.
    fn open(path: PathBuf) -> io::Result<Self> {
        let lock = Self { path, claim: Mutex::new(Claim::Wanted) };
        lock.file()?;
        Ok(lock)
    }

    fn file(&self) -> io::Result<File> {
        File::options().create(true).truncate(false).write(true).open(&self.path)
    }

    /// Waits until it is free, and as long as it is released. Cancel safe. The kernel tells nobody of a free lock but a
    /// thread that blocks, which couldn't be called off, so it is tried again and again.
    async fn take(&self) -> io::Result<()> {
        let mut again = interval(Duration::from_millis(20));
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            again.tick().await; // the first at once
            if self.try_take()? {
                return Ok(());
            }
        }
    }

    /// Whether this process has it now.
    fn try_take(&self) -> io::Result<bool> {
        let mut claim = self.claim();
        if matches!(*claim, Claim::Wanted) {
            match Flock::lock(self.file()?, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => *claim = Claim::Held(lock),
                Err((_, Errno::EWOULDBLOCK)) => {}
                Err((_, error)) => return Err(error.into()),
            }
        }
        Ok(matches!(*claim, Claim::Held(_)))
    }

    /// Also calls off whoever still waits for it.
    fn release(&self) -> io::Result<()> {
        match mem::replace(&mut *self.claim(), Claim::Released) {
            Claim::Held(lock) => lock.unlock().map(drop).map_err(|(_, error)| error.into()),
            Claim::Wanted | Claim::Released => Ok(()),
        }
    }

    /// Wants it again, and waits until it is there. It may be held, where the release was never begun.
    async fn take_back(&self) -> io::Result<()> {
        self.want_again();
        self.take().await
    }

    fn want_again(&self) {
        let mut claim = self.claim();
        if matches!(*claim, Claim::Released) {
            *claim = Claim::Wanted;
        }
    }

    fn is_held(&self) -> bool {
        matches!(*self.claim(), Claim::Held(_))
    }

    fn claim(&self) -> MutexGuard<'_, Claim> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
