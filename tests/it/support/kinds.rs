//! Sockets of every kind in the server, each claimed or opened, and served if it can be.

use std::{
    env,
    fs::File,
    io::{Read, Seek, Write},
    net::{Ipv4Addr, SocketAddr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::{
    io::Interest,
    net::{TcpListener, UdpSocket, UnixDatagram, UnixListener, unix::pipe},
};
use tokio_hotrestart::{Datagram, Graceful, Listener};

use super::{
    Fleet,
    server::{say, serve_echo},
};

/// All that `HR_KINDS` can name: in the order in which they are opened.
pub const ALL: [&str; 14] = [
    "tcp4",
    "tcp6",
    "dual",
    "shared one",
    "shared two",
    "stream",
    "abstract",
    "datagram",
    "seqpacket",
    "udp",
    "connected",
    "multicast",
    "pipe",
    "memory",
];

/// A group that no other test of this run joins: it goes no further than this machine's loopback.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 77);

/// What a generation has said of one of its sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub name: String,
    /// As in the kernel's `socket:[1234]`.
    pub inode: String,
    pub address: String,
    /// What an earlier generation has left in it.
    pub found: String,
}

/// What this generation has said of them, in the order of `names`.
pub fn said(fleet: &mut Fleet, generation: u64, names: &[&str]) -> Vec<Said> {
    let mut of = |name: &str| {
        let line = fleet.until(&format!("kind generation={generation} name={} ", name.replace(' ', "_")));
        let text = |key: &str| line[key].to_owned();
        Said { name: name.to_owned(), inode: text("inode"), address: text("address"), found: text("found") }
    };
    names.iter().map(|name| of(name)).collect()
}

/// Where the paths of a server that lies there are.
pub fn path(place: &Path, name: &str) -> PathBuf {
    place.join(format!("{name}.sock"))
}

/// `HR_KINDS=<name>,…` which there are, `HR_PLACE` where their paths lie, `HR_PEER` to whom the connected one is connected.
/// Each says what it is: `kind generation=… name=… inode=… address=… found=…`.
pub async fn open(graceful: &Graceful, generation: u64) -> Result<(), tokio_hotrestart::Error> {
    let kinds = env::var("HR_KINDS").unwrap_or_default();
    let place = PathBuf::from(env::var_os("HR_PLACE").unwrap_or_default());
    let loopback = "127.0.0.1:0";
    let opened = Opened { graceful, generation };
    let mut shared = loopback.to_owned();
    for name in kinds.split(',').filter(|name| !name.is_empty()) {
        match name {
            "tcp4" => opened.listener(name, graceful.listen(name, loopback).await?),
            "tcp6" => opened.listener(name, graceful.listen(name, "[::1]:0").await?),
            "dual" => opened.listener(name, graceful.listen(name, "[::]:0").await?),
            "shared one" | "shared two" => {
                let reuse = |socket: BorrowedFd<'_>| SockRef::from(&socket).set_reuse_port(true);
                let listener = graceful.bind::<TcpListener, _>(name, shared.clone()).options(reuse).await?;
                shared = listener.local_addr().expect("bound").to_string();
                opened.listener(name, listener);
            }
            "stream" => opened.listener(name, graceful.listen_unix(name, path(&place, name)).await?),
            "abstract" => opened.listener(name, graceful.bind::<UnixListener, _>(name, abstract_name(&place)).await?),
            "datagram" => {
                opened.datagram(name, graceful.bind::<UnixDatagram, _>(name, path(&place, name)).await?);
            }
            "seqpacket" => {
                let inherited = graceful.claim::<OwnedFd>(name)?;
                let socket = inherited.map_or_else(|| seqpacket(&path(&place, name)), Socket::from);
                offer_fresh(graceful, name, &socket);
                // tokio has no type of its own for it, and accepts from it as from any other.
                let listener = UnixListener::from_std(OwnedFd::from(socket).into()).expect("registered");
                opened.listener(name, listener);
            }
            "udp" => opened.datagram(name, graceful.bind::<UdpSocket, _>(name, loopback).await?),
            "connected" => {
                let socket = graceful.bind::<UdpSocket, _>(name, "0.0.0.0:0").await?;
                if generation == 0 {
                    socket.connect(env::var("HR_PEER").expect("a peer")).await.expect("connected");
                }
                opened.datagram(name, socket);
            }
            "multicast" => {
                let socket = graceful.bind::<UdpSocket, _>(name, "0.0.0.0:0").await?;
                if generation == 0 {
                    socket.join_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).expect("joined");
                }
                opened.datagram(name, socket);
            }
            "pipe" => opened.pipe(name)?,
            "memory" => opened.memory(name)?,
            _ => panic!("no kind is called {name}"),
        }
    }
    let many = env::var("HR_MANY").map_or(0, |many| many.parse().expect("a number"));
    let mut inodes = Vec::new();
    for number in 0..many {
        let listener = graceful.listen(&format!("many {number}"), loopback).await?;
        inodes.push(format!("{}/{}", inode(&listener), listener.local_addr().expect("bound")));
        tokio::spawn(serve_echo(graceful.clone(), listener));
    }
    if many > 0 {
        say(format_args!("many generation={generation} sockets={}", inodes.join(",")));
    }
    Ok(())
}

/// Of this server: its place is no other's.
pub fn abstract_name(place: &Path) -> String {
    format!("@{}", place.display())
}

struct Opened<'a> {
    graceful: &'a Graceful,
    generation: u64,
}

impl Opened<'_> {
    fn say(&self, name: &str, it: &impl AsFd, found: &str) {
        let address = SockRef::from(it).local_addr().ok();
        let address = address.and_then(|address| address.as_socket()).map(|address| address.to_string());
        say(format_args!(
            "kind generation={} name={} inode={} address={} found={found}",
            self.generation,
            name.replace(' ', "_"),
            inode(it),
            address.unwrap_or_default(),
        ));
    }

    fn listener(&self, name: &str, listener: impl Listener) {
        self.say(name, &listener.socket().expect("a socket"), "");
        tokio::spawn(serve_echo(self.graceful.clone(), listener));
    }

    fn datagram<S: Datagram + Answer + 'static>(&self, name: &str, socket: S) {
        self.say(name, &socket, "");
        let graceful = self.graceful.clone();
        self.graceful.spawn(async move {
            let mut buffer = [0; 2048];
            while let Some((length, from)) = graceful.receive(&socket, &mut buffer).await {
                socket.answer(&buffer[..length], &from).await;
            }
        });
    }

    /// Each generation finds what the one before has written, and writes its own.
    fn pipe(&self, name: &str) -> Result<(), tokio_hotrestart::Error> {
        let names = ["read", "write"].map(|end| format!("{name} to {end}"));
        let inherited = (self.graceful.claim(&names[0])?, self.graceful.claim(&names[1])?);
        let (read, write): (pipe::Receiver, pipe::Sender) = match inherited {
            (Some(read), Some(write)) => (read, write),
            (None, None) => {
                let (write, read) = pipe::pipe().expect("a pipe");
                self.graceful.offer(&names[0], &read)?;
                self.graceful.offer(&names[1], &write)?;
                (read, write)
            }
            _ => panic!("one end without the other"),
        };
        let mut bytes = [0; 64];
        // The reactor has had no turn yet, so they are asked past it.
        let length = duplicate(&read).read(&mut bytes);
        let found = length.map_or_else(|_| "nothing".into(), |length| String::from_utf8_lossy(&bytes[..length]));
        self.say(name, &read, &found);
        duplicate(&write).write_all(format!("written-by-{}", self.generation).as_bytes()).expect("there is room");
        // Until the next generation has them, nobody reads.
        let token = self.graceful.token();
        tokio::spawn(async move {
            token.cancelled().await;
            drop((read, write));
        });
        Ok(())
    }

    fn memory(&self, name: &str) -> Result<(), tokio_hotrestart::Error> {
        let mut found = "nothing".to_owned();
        let mut memory = match self.graceful.claim::<OwnedFd>(name)? {
            Some(inherited) => File::from(inherited),
            None => {
                let fresh = memfd_create(c"memory", MFdFlags::MFD_CLOEXEC).expect("a memfd");
                self.graceful.offer(name, &fresh)?;
                File::from(fresh)
            }
        };
        if self.generation > 0 {
            found.clear();
            memory.rewind().and_then(|()| memory.read_to_string(&mut found)).expect("read");
        }
        self.say(name, &memory, &found);
        memory.set_len(0).and_then(|()| memory.rewind()).expect("emptied");
        memory.write_all(format!("written-by-{}", self.generation).as_bytes()).expect("written");
        Ok(())
    }
}

/// A name that is taken is one that was inherited.
fn offer_fresh(graceful: &Graceful, name: &str, socket: &impl AsFd) {
    if let Err(error) = graceful.offer(name, socket) {
        assert!(graceful.is_successor(), "{error}");
    }
}

fn inode(it: &impl AsFd) -> String {
    duplicate(it).metadata().expect("it is open").ino().to_string()
}

fn duplicate(it: &impl AsFd) -> File {
    it.as_fd().try_clone_to_owned().expect("a duplicate").into()
}

fn seqpacket(path: &Path) -> Socket {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).expect("a socket");
    socket.set_nonblocking(true).expect("set");
    socket.bind(&SockAddr::unix(path).expect("short")).and_then(|()| socket.listen(64)).expect("bound");
    socket
}

/// Back to whom a datagram came from.
trait Answer: Datagram {
    fn answer(&self, bytes: &[u8], to: &Self::Addr) -> impl Future<Output = ()> + Send;
}

impl Answer for UdpSocket {
    async fn answer(&self, bytes: &[u8], to: &SocketAddr) {
        // A connected one is told nowhere to send to, and takes it.
        self.send_to(bytes, to).await.expect("answered");
    }
}

impl Answer for UnixDatagram {
    async fn answer(&self, bytes: &[u8], to: &tokio::net::unix::SocketAddr) {
        let path = to.as_pathname().expect("clients have a path").to_owned();
        self.ready(Interest::WRITABLE).await.expect("writable");
        self.send_to(bytes, path).await.expect("answered");
    }
}
