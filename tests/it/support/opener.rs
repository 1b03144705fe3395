//! Whoever opens sockets for a server and becomes it, as systemd and its like do: the descriptors lie at 3, 4, 5, …, open
//! across the exec and blocking, and the environment says what they are.

use std::{
    env,
    fs::File,
    net::{TcpListener, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, net::UnixListener, process::CommandExt},
    },
    process::Command,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    unistd::close,
};

use super::{Fleet, Setup, server::say, this};

/// More than any test has opened.
const PLACES: usize = 32;

impl Setup {
    /// Generation 0 finds these opened, separated by spaces: `tcp`, `udp`, `unix:PATH`, `file`, or `closed` for a number at
    /// which nothing is. After `tcp` and `udp`, `:NAME` lets `HR_NAME` be its address.
    ///
    /// - `HR_OPEN_NAMES`: `LISTEN_FDNAMES`, which is missing without.
    /// - `HR_OPEN_PID`: `none`, or another process's; else it is the server's own.
    /// - `HR_OPEN_COUNT`: so many are said to be there, if not as many as there are.
    pub fn opened(self, words: &str) -> Self {
        let become_opener = "exec \"$0\" opener --exact --ignored --nocapture --test-threads=1 --quiet";
        self.with("OPEN", words).through("sh", ["-c", become_opener])
    }
}

/// `socket:[1234]` and address of each that was opened.
pub fn opened(fleet: &mut Fleet) -> Vec<(String, String)> {
    let line = fleet.until("opened");
    let pair = |text: &str| text.split_once('|').map(|(inode, address)| (inode.to_owned(), address.to_owned()));
    line["sockets"].split(',').filter_map(pair).collect()
}

pub fn main() {
    let mut server = Command::new(this());
    server.args(["server", "--exact", "--ignored", "--nocapture", "--test-threads=1", "--quiet"]);
    let words = env::var("HR_OPEN").expect("what to open");
    let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
    // As long as these are open, nothing else gets one of the numbers.
    let places: Vec<_> = (0..PLACES).map(|_| File::open("/dev/null").expect("opened")).collect();
    let (opened, said): (Vec<_>, Vec<_>) = words.iter().map(|word| open(word, &mut server)).unzip();
    drop(places);
    for (number, opened) in (3..).zip(&opened) {
        // Whoever has started the tests may have left something open there.
        let _ = close(number);
        if let Some(opened) = opened {
            assert_eq!(fcntl(opened, FcntlArg::F_DUPFD(number)).expect("duplicated"), number);
        }
    }
    say(format_args!("opened pid={} sockets={}", std::process::id(), said.join(",")));
    let count = env::var("HR_OPEN_COUNT").unwrap_or_else(|_| words.len().to_string());
    server.env("LISTEN_FDS", count);
    match env::var("HR_OPEN_PID").as_deref() {
        Ok("none") => &mut server,
        Ok(other) => server.env("LISTEN_PID", other),
        Err(_) => server.env("LISTEN_PID", std::process::id().to_string()),
    };
    if let Ok(names) = env::var("HR_OPEN_NAMES") {
        server.env("LISTEN_FDNAMES", names);
    }
    panic!("become the server: {}", server.exec());
}

/// What is opened for a word, and what is said of it.
fn open(word: &str, server: &mut Command) -> (Option<OwnedFd>, String) {
    let (what, rest) = word.split_once(':').unwrap_or((word, ""));
    let mut address = String::new();
    let opened: OwnedFd = match what {
        "tcp" => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
            address = listener.local_addr().expect("bound").to_string();
            listener.into()
        }
        "udp" => {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
            address = socket.local_addr().expect("bound").to_string();
            socket.into()
        }
        "unix" => {
            address = rest.to_owned();
            UnixListener::bind(rest).expect("bound").into()
        }
        "file" => File::open(this()).expect("opened").into(),
        "closed" => return (None, "|".into()),
        _ => panic!("{what} is not opened here"),
    };
    if what != "unix" && !rest.is_empty() {
        server.env(format!("HR_{rest}"), &address);
    }
    let file = File::from(opened);
    let inode = file.metadata().expect("it is open").ino();
    (Some(file.into()), format!("socket:[{inode}]|{address}"))
}
