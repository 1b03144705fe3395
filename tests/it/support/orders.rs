//! What a test has a running server do, a line each.

use std::{
    collections::HashMap,
    env,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

use futures_util::future::join3;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, unix::pipe},
};
use tokio_hotrestart::Graceful;

use super::{Fifo, Fleet, Setup, hooks, server::say};

/// The way to one generation.
#[derive(Debug)]
pub struct Orders {
    generation: u64,
    fifo: File,
}

impl Orders {
    /// A server whose generation of this number obeys.
    pub fn to(generation: u64, setup: Setup) -> (Self, Setup) {
        let name = setup.place().join("orders");
        let fifo = Fifo::new(setup.place().join(format!("orders{generation}")));
        // Ours to read from, too: then nobody is waited for.
        let fifo = OpenOptions::new().read(true).write(true).open(fifo.path()).expect("opened");
        (Self { generation, fifo }, setup.with("ORDERS", name))
    }

    /// - `bind NAME`: listens under it, and holds the listener.
    /// - `offer NAME`: the same with a listener of its own.
    /// - `release NAME`: which the application holds no more either.
    /// - `replace NAME`: releases it, and offers another one, in one go.
    /// - `hook HOOK`: registers it, as `HR_HOOKS` says it.
    /// - `drain`: asks for a stop by the method, and then has two handles await the drain.
    ///
    /// Waits until it has asked for it: what follows from that may be still to come.
    pub fn give(&self, fleet: &mut Fleet, order: &str) {
        writeln!(&self.fifo, "{order}").expect("there is room");
        fleet.until(&format!("obeyed generation={} order={}", self.generation, order.replace(' ', "_")));
    }
}

/// `HR_ORDERS=<path>`: obeys what comes out of the pipe of this name and number, if there is one.
pub fn obey(graceful: &Graceful) {
    let generation = graceful.generation();
    let path = env::var("HR_ORDERS").map(|name| format!("{name}{generation}")).unwrap_or_default();
    if !Path::new(&path).exists() {
        return;
    }
    let fifo = pipe::OpenOptions::new().read_write(true).open_receiver(path).expect("a FIFO");
    let graceful = graceful.clone();
    tokio::spawn(async move {
        let (mut lines, mut held) = (BufReader::new(fifo).lines(), HashMap::new());
        while let Some(order) = lines.next_line().await.expect("text") {
            let done = async { say(format_args!("obeyed generation={generation} order={}", order.replace(' ', "_"))) };
            match order.split_once(' ').unwrap_or((&order, "")) {
                ("bind", name) => {
                    held.insert(name.to_owned(), graceful.listen(name, "127.0.0.1:0").await.expect("bound"));
                }
                ("offer", name) => {
                    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
                    graceful.offer(name, &listener).expect("offered");
                    held.insert(name.to_owned(), listener);
                }
                ("release", name) => {
                    graceful.release(name);
                    held.remove(name);
                }
                ("replace", name) => {
                    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
                    graceful.release(name);
                    graceful.offer(name, &listener).expect("offered");
                    held.insert(name.to_owned(), listener);
                }
                ("hook", hook) => hooks::add(&graceful, hook),
                ("drain", _) => {
                    graceful.stop();
                    join3(graceful.drain(), graceful.clone().drain(), done).await;
                    continue;
                }
                _ => panic!("what is {order:?}?"),
            }
            done.await;
        }
    });
}
