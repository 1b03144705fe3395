//! Clients of the raw listener, which answers each line with itself.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that stays open.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Client {
    /// Connected, and perhaps accepted by nobody yet.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// Connected and served.
    pub fn served(to: SocketAddr) -> Self {
        let mut client = Self::connect(to).expect("somebody listens");
        client.line().expect("served");
        client
    }

    /// Sends a line, for somebody to answer later.
    pub fn ask(&mut self) -> io::Result<()> {
        self.0.write_all(b"line\n")
    }

    /// Whether nobody has answered yet, nor ended the connection.
    pub fn waits(&self) -> bool {
        self.0.set_nonblocking(true).expect("a socket");
        let waits = self.0.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.0.set_nonblocking(false).expect("a socket");
        waits
    }

    /// The line comes back.
    pub fn answered(&mut self) -> io::Result<()> {
        let mut back = [0; 5];
        self.0.read_exact(&mut back)?;
        if &back == b"line\n" { Ok(()) } else { Err(io::Error::other(format!("another line came back: {back:?}"))) }
    }

    /// One line there and back.
    pub fn line(&mut self) -> io::Result<()> {
        self.ask()?;
        self.answered()
    }
}

/// One line there and back over a new connection.
pub fn echo(to: SocketAddr) -> io::Result<()> {
    Client::connect(to)?.line()
}

/// The same at a path.
pub fn at(path: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"line\n")?;
    let mut back = [0; 5];
    stream.read_exact(&mut back)?;
    assert_eq!(&back, b"line\n");
    Ok(())
}

/// What became of the connections of a load: each is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub served: usize,
    pub refused: usize,
    /// Connected, and then ended without the whole answer.
    pub cut: usize,
}

#[derive(Debug, Default)]
struct Counts {
    served: AtomicUsize,
    refused: AtomicUsize,
    cut: AtomicUsize,
}

/// Clients that connect, exchange a line and leave, again and again.
#[derive(Debug)]
pub struct Load {
    counts: Arc<Counts>,
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// That many at once: after a kill no more than these can be cut.
    pub const CLIENTS: usize = 3;

    /// On, and already served.
    pub fn on(to: SocketAddr) -> Self {
        let (counts, over) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let client = |_| {
            let (counts, over) = (Arc::clone(&counts), Arc::clone(&over));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let outcome = match Client::connect(to).map(|mut client| client.line()) {
                        Ok(Ok(())) => &counts.served,
                        Ok(Err(_)) => &counts.cut,
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => &counts.refused,
                        // A reset between the two is the kernel's way to say that the listener has just gone.
                        Err(_) => &counts.cut,
                    };
                    outcome.fetch_add(1, Ordering::Relaxed);
                    // Not as fast as possible: these tests are about outcomes, and two cores are shared by all.
                    std::thread::park_timeout(Duration::from_millis(2));
                }
            })
        };
        let clients = (0..Self::CLIENTS).map(client).collect();
        let load = Self { counts, over, clients };
        load.until_served(1);
        load
    }

    /// Waits until so many more were served: whoever serves now, serves.
    #[track_caller]
    pub fn until_served(&self, more: usize) {
        let from = self.tally().served;
        super::process::until(|| self.tally().served >= from + more);
    }

    pub fn tally(&self) -> Tally {
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        let Counts { served, refused, cut } = &*self.counts;
        Tally { served: count(served), refused: count(refused), cut: count(cut) }
    }

    /// Off, with each client's last connection counted.
    pub fn off(mut self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client does not panic");
        }
        self.tally()
    }
}
