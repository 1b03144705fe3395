//! `examples/reload.rs`: SIGHUP changes certificate and configuration, and nothing else.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use load::{Exchange, Load, Mode, Running};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::rustls::ClientConfig;

use super::{
    program::Program,
    tls::{Certificate, Client, Tunnel, trusting, write},
};

/// The files that the server reads, certificates to put there, and a server that does.
struct Site {
    place: TempDir,
    certificates: [Certificate; 3],
    clients: Arc<ClientConfig>,
    server: Program,
    address: SocketAddr,
    pid: i32,
}

impl Site {
    /// Ready, with certificate 0 and a `max_age` of 0.
    fn start() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let certificates = std::array::from_fn(|_| Certificate::new());
        let path = |name| place.path().join(name);
        write(&path("certificate"), &certificates[0].certificate());
        write(&path("key"), &certificates[0].key());
        write(&path("config"), r#"{ "max_age": 0 }"#);
        let files = ["certificate", "key", "config"].map(|name| format!("--{name}={}", path(name).display()));
        let mut server = Program::start("reload", ["--listen=127.0.0.1:0".to_owned()].into_iter().chain(files));
        let ready = server.ready(0);
        let (address, pid) = (ready.field("https").parse().expect("an address"), ready.pid());
        let clients = trusting(&certificates);
        Self { place, certificates, clients, server, address, pid }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Writes the files anew: this certificate, and its number as `max_age`.
    fn write(&self, number: usize) {
        write(&self.path("certificate"), &self.certificates[number].certificate());
        write(&self.path("key"), &self.certificates[number].key());
        write(&self.path("config"), &format!(r#"{{ "max_age": {number} }}"#));
    }

    /// SIGHUP, and waits until the server has said so in its log so often.
    #[track_caller]
    fn reload(&self, said: &str, times: usize) {
        self.server.signal(self.pid, Signal::SIGHUP);
        self.server.until_logged(said, times);
    }

    fn client(&self) -> Client {
        Client::connect(self.address, &self.clients)
    }

    /// New connections are shown this certificate, and served by the configuration that belongs to it.
    #[track_caller]
    fn serves(&self, number: usize) {
        let mut client = self.client();
        assert_eq!(client.shown(), self.certificates[number].der());
        assert_eq!(max_age(&client.get()), number);
    }
}

#[track_caller]
fn max_age(head: &str) -> usize {
    let field = head.lines().find_map(|line| line.strip_prefix("cache-control: max-age="));
    field.expect("set by the configuration").parse().expect("a number")
}

const RELOADED: &str = "reloaded";
const KEPT: &str = "everything stays as it was";

#[test]
fn new_handshakes_see_the_new_certificate_and_old_connections_live_on() {
    let mut site = Site::start();
    let mut old = site.client();
    assert_eq!(max_age(&old.get()), 0);
    site.write(1);
    site.serves(0);
    site.reload(RELOADED, 1);
    site.serves(1);
    assert_eq!(max_age(&old.get()), 1, "the same connection: its next request has the new configuration");
    assert_eq!(old.shown(), site.certificates[0].der());
    drop(old);
    site.server.stop(site.pid);
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_the_log_says_which() {
    let mut site = Site::start();
    let wrong = [("certificate", "nonsense"), ("key", "nonsense"), ("config", "{"), ("config", r#"{ "maxage": 1 }"#)];
    for (at, (name, text)) in wrong.into_iter().enumerate() {
        // All others are good, and new.
        site.write(1);
        write(&site.path(name), text);
        site.reload(KEPT, at + 1);
        site.serves(0);
        let log = site.server.log();
        let line = log.lines().rfind(|line| line.contains(KEPT)).expect("it was said");
        assert!(line.contains(&site.path(name).display().to_string()), "{line}");
    }
    // A key of another certificate, as between the replacements of two files.
    site.write(1);
    write(&site.path("key"), &site.certificates[2].key());
    site.reload(KEPT, wrong.len() + 1);
    site.serves(0);

    // A new program can't use them either, and this one serves on.
    site.server.signal(site.pid, Signal::SIGUSR2);
    site.server.until_logged("the restart failed", 1);
    site.serves(0);

    site.write(1);
    site.reload(RELOADED, 1);
    site.serves(1);
    site.server.stop(site.pid);
}

/// Two loads, through TLS.
fn on(runtime: &Runtime, tunnel: &Tunnel) -> [Running; 2] {
    let _here = runtime.enter();
    [Mode::KeepAlive, Mode::Fresh].map(|mode: fn(Exchange) -> Mode| {
        let load = Load::new(tunnel.address, mode(Exchange::get().without_generation()));
        load.clients(2).think(Duration::from_millis(2)).start()
    })
}

#[test]
fn reloads_and_restarts_under_load_lose_nothing() {
    let mut site = Site::start();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let tunnel = Tunnel::to(site.address, &site.clients);
    let loads = on(&runtime, &tunnel);
    let served = || loads.iter().for_each(|load| runtime.block_on(load.reach(10)).expect("served"));
    served();
    for (generation, number) in [(0, 1), (1, 2), (2, 0)] {
        // Files that are wrong first: nobody notices.
        write(&site.path("certificate"), "nonsense");
        site.reload(KEPT, generation + 1);
        served();
        site.write(number);
        site.reload(RELOADED, generation + 1);
        site.serves(number);
        served();
        // The next generation reads what is there then.
        let number = (number + 1) % 3;
        site.write(number);
        site.pid = site.server.restart(generation as u64, site.pid).pid();
        site.serves(number);
        served();
    }
    let tallies = loads.map(|load| runtime.block_on(load.stop()));
    tallies.iter().for_each(|tally| assert_eq!((tally.lost(), tally.untold()), (0, 0), "{tally}"));
    site.server.stop(site.pid);
    drop(tunnel);
    runtime.shutdown_timeout(Duration::ZERO);
}
