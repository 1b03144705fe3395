//! Every kind of socket through restarts: the same open file, the same name, never blocking, nothing lost or twice.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{self as unix, UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::support::{
    Fleet, Setup,
    kinds::{self, ALL, GROUP, Said},
    process,
};

/// A bound for a broken run.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with sockets of all kinds, and the peer of the connected one.
fn of_all_kinds() -> (Setup, UdpSocket) {
    let peer = udp();
    let setup = Setup::new().with("KINDS", ALL.join(",")).with("PEER", peer.local_addr().unwrap().to_string());
    let place = setup.place();
    (setup.with("PLACE", place), peer)
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn line(mut stream: impl Read + Write) {
    stream.write_all(b"line\n").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"line\n");
}

fn datagram(send: impl FnOnce(&[u8]), receive: impl FnOnce(&mut [u8]) -> usize) {
    send(b"datagram");
    let mut back = [0; 64];
    let length = receive(&mut back);
    assert_eq!(&back[..length], b"datagram");
}

/// Each of them is served.
fn exchange_with_all(place: &Path, peer: &UdpSocket, said: &[Said]) {
    for Said { name, address, .. } in said {
        let address = || address.parse::<SocketAddr>().expect("an address");
        match &**name {
            "tcp4" | "tcp6" | "shared one" | "shared two" => line(TcpStream::connect(address()).unwrap()),
            // Bound to the IPv6 wildcard, and reached by IPv4 too.
            "dual" => {
                line(TcpStream::connect((Ipv4Addr::LOCALHOST, address().port())).unwrap());
                line(TcpStream::connect(("::1", address().port())).unwrap());
            }
            "stream" => line(UnixStream::connect(kinds::path(place, name)).unwrap()),
            "abstract" => {
                let name = kinds::abstract_name(place);
                let address = unix::SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap();
                line(UnixStream::connect_addr(&address).unwrap());
            }
            "seqpacket" => {
                let client = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
                client.connect(&SockAddr::unix(kinds::path(place, name)).unwrap()).unwrap();
                line(client);
            }
            "datagram" => {
                let own = place.join("client.sock");
                let client = UnixDatagram::bind(&own).unwrap();
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                let to = kinds::path(place, name);
                datagram(
                    |bytes| assert_eq!(client.send_to(bytes, to).unwrap(), bytes.len()),
                    |back| client.recv(back).unwrap(),
                );
                std::fs::remove_file(own).unwrap();
            }
            "udp" => exchange_from(&udp(), address()),
            "connected" => exchange_from(peer, address()),
            "multicast" => {
                let client = udp();
                SockRef::from(&client).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
                exchange_from(&client, (GROUP, address().port()).into());
            }
            "pipe" | "memory" => {}
            name => panic!("{name} is not tried"),
        }
    }
}

fn exchange_from(client: &UdpSocket, to: SocketAddr) {
    datagram(|bytes| assert_eq!(client.send_to(bytes, to).unwrap(), bytes.len()), |back| client.recv(back).unwrap());
}

/// What a restart must not change: everything but what was found.
fn same(said: &[Said]) -> Vec<(&str, &str, &str)> {
    said.iter().map(|it| (&*it.name, &*it.inode, &*it.address)).collect()
}

/// No descriptor of these sockets, neither the application's nor the crate's duplicate, blocks. A memfd is a file, and
/// never waits for anything.
#[track_caller]
fn none_blocks(pid: i32, said: &[Said], when: &str) {
    let open = process::descriptors(pid);
    for it in said.iter().filter(|it| it.name != "memory") {
        let target = |kind: &str| format!("{kind}:[{}]", it.inode);
        let names = [target("socket"), target("pipe")];
        let held: Vec<_> = open.iter().filter(|open| names.iter().any(|name| open.target == Path::new(name))).collect();
        assert!(held.len() >= 2, "{when}: {} has an owner and a duplicate: {held:?}", it.name);
        assert!(held.iter().all(|open| !open.blocks), "{when}: {} blocks: {held:?}", it.name);
    }
}

#[test]
fn each_kind_is_the_same_open_file_in_every_generation_and_never_blocks() {
    let (setup, peer) = of_all_kinds();
    let place = setup.place();
    let mut fleet = setup.with("AT", "0:LetGo:hold").start();
    let first = fleet.first();
    let before = kinds::said(&mut fleet, 0, &ALL);
    exchange_with_all(&place, &peer, &before);
    none_blocks(first, &before, "at first");

    fleet.release.script("exit 3");
    fleet.ask(first);
    assert!(fleet.answer(0).starts_with("Exited: "));
    none_blocks(first, &before, "after a failed restart");
    exchange_with_all(&place, &peer, &before);

    fleet.release.good();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("LetGo");
    let second = fleet.until("ready generation=1").pid();
    let after = kinds::said(&mut fleet, 1, &ALL);
    assert_eq!(same(&after), same(&before));
    none_blocks(first, &before, "in the predecessor");
    none_blocks(second, &before, "in the successor");
    // The predecessor stands still, so whoever answers is the successor.
    exchange_with_all(&place, &peer, &after);
    fleet.signal(first, Signal::SIGCONT);
    fleet.until("done generation=0");
    none_blocks(second, &before, "after the predecessor's end");

    let third = fleet.restart(1, second);
    let last = kinds::said(&mut fleet, 2, &ALL);
    assert_eq!(same(&last), same(&before));
    exchange_with_all(&place, &peer, &last);
    for (said, by) in [(&after, 0), (&last, 1)] {
        for it in said.iter().filter(|it| ["pipe", "memory"].contains(&&*it.name)) {
            assert_eq!(it.found, format!("written-by-{by}"), "{}", it.name);
        }
    }
    fleet.until("done generation=1");
    fleet.stop(third, 2);
    let path = |name: &str| kinds::path(&place, name);
    assert!(!path("stream").exists() && !path("datagram").exists(), "what was bound here is removed");
    assert!(path("seqpacket").exists(), "what the application bound itself is its own");
}

/// What it holds of these sockets, duplicates and all, in order.
fn held(pid: i32, said: &[Said]) -> Vec<PathBuf> {
    let ours = |target: &Path| {
        let target = target.to_string_lossy();
        let inode = target.split_once(":[").map_or("", |(_, rest)| rest.trim_end_matches(']'));
        said.iter().any(|it| it.inode == inode) || target.starts_with("/memfd:memory")
    };
    let open = process::descriptors(pid).into_iter().map(|open| open.target);
    let mut held: Vec<_> = open.filter(|target| ours(target)).collect();
    held.sort();
    held
}

#[test]
fn no_kind_leaves_a_descriptor_behind() {
    let (setup, _peer) = of_all_kinds();
    let mut fleet = setup.start();
    let mut pid = fleet.first();
    let said = kinds::said(&mut fleet, 0, &ALL);
    let first = held(pid, &said);
    // Each has an owner and a duplicate; of the pipe's two ends the kernel's number is the same, and the memfd has no owner
    // between two generations.
    assert_eq!(first.len(), 2 * ALL.len() + 2 - 1, "{first:?}");
    for generation in 0..5 {
        pid = fleet.restart(generation, pid);
        fleet.until(&format!("done generation={generation}"));
        process::until(|| held(pid, &said) == first);
    }
}

#[test]
fn each_datagram_is_answered_exactly_once_through_restarts() {
    let mut fleet = Setup::new().with("KINDS", "udp").with("PROBATION_MS", "50").start();
    let said = kinds::said(&mut fleet, 0, &["udp"]);
    let client = udp();
    client.connect(said[0].address.parse::<SocketAddr>().unwrap()).unwrap();
    let over = AtomicBool::new(false);
    let (sent, answers) = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0_u32;
            while !over.load(Ordering::Relaxed) {
                client.send(&sent.to_le_bytes()).unwrap();
                sent += 1;
                // A rate, and no wait for anything.
                thread::park_timeout(Duration::from_millis(1));
            }
            // The last one, after which nothing comes.
            client.send(&u32::MAX.to_le_bytes()).unwrap();
            sent
        });
        let receiver = scope.spawn(|| {
            let mut answers = Vec::new();
            loop {
                let mut number = [0; 4];
                assert_eq!(client.recv(&mut number).expect("an answer to each"), 4);
                match u32::from_le_bytes(number) {
                    u32::MAX => return answers,
                    number => answers.push(number),
                }
            }
        });
        let mut pid = fleet.first();
        for generation in 0..5 {
            pid = fleet.restart(generation, pid);
            fleet.until(&format!("done generation={generation}"));
        }
        over.store(true, Ordering::Relaxed);
        (sender.join().unwrap(), receiver.join().unwrap())
    });
    let mut sorted = answers;
    // Two generations answer at the same moment once in a while, and the order is nobody's promise.
    sorted.sort_unstable();
    assert!(sent > 100, "{sent}");
    assert!(sorted.iter().copied().eq(0..sent), "{sent} sent, {} answered", sorted.len());
}

/// Also at a stop: what is in the queue is answered first.
#[test]
fn what_waits_in_the_queue_of_a_datagram_socket_is_answered_at_a_stop() {
    let mut fleet = Setup::new().with("KINDS", "udp").start();
    let said = kinds::said(&mut fleet, 0, &["udp"]);
    let first = fleet.freeze_first();
    let client = udp();
    client.connect(said[0].address.parse::<SocketAddr>().unwrap()).unwrap();
    for number in 0..100_u32 {
        client.send(&number.to_le_bytes()).unwrap();
    }
    fleet.signal(first, Signal::SIGTERM);
    fleet.signal(first, Signal::SIGCONT);
    for number in 0..100_u32 {
        let mut back = [0; 4];
        client.recv(&mut back).unwrap();
        assert_eq!(u32::from_le_bytes(back), number);
    }
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
}

/// A datagram socket whose address has changed: the old one is emptied by the predecessor, the new one is bound.
#[test]
fn a_dropped_datagram_socket_is_emptied_and_closed() {
    let mut fleet = Setup::new().with("KINDS", "udp").with("AT", "0:LetGo:hold").start();
    let said = kinds::said(&mut fleet, 0, &["udp"]);
    fleet.release.after("unset HR_KINDS");
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("LetGo");
    let client = udp();
    client.connect(said[0].address.parse::<SocketAddr>().unwrap()).unwrap();
    for number in 0..20_u32 {
        client.send(&number.to_le_bytes()).unwrap();
    }
    fleet.signal(first, Signal::SIGCONT);
    for number in 0..20_u32 {
        let mut back = [0; 4];
        client.recv(&mut back).unwrap();
        assert_eq!(u32::from_le_bytes(back), number);
    }
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    fleet.until_logged("passed and not served: closed", 1);
    client.send(b"late").unwrap();
    let refused = client.recv(&mut [0; 4]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "nobody has it any more");
    assert!(Fleet::lives(fleet.until("ready generation=1").pid()));
}
