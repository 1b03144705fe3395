//! Sockets from one generation to the next, without all else that belongs to a restart: over a pair of channels, in batches
//! of which each is acknowledged before the next. Both ends are this process, one after the other on one thread, so two
//! processes with a processor each need less.

use std::{fs::File, os::fd::OwnedFd, sync::Arc};

use divan::{Bencher, counter::ItemsCount};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime;

use crate::{
    channel::Channel,
    passed,
    sys::{self, MAX_DESCRIPTORS},
    wire::{Message, Socket},
};

#[divan::bench(args = [1, 16, 253, 1000])]
fn pass(bencher: Bencher<'_, '_>, count: usize) {
    raise_descriptor_limit();
    let runtime = runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let (mut here, mut there) = {
        let _within = runtime.enter();
        let (here, there) = sys::socket_pair().expect("a pair");
        (Channel::new(here).expect("a socket"), Channel::new(there).expect("a socket"))
    };
    let listed = passed::sockets(count);
    let file = Arc::new(OwnedFd::from(File::open("/dev/null").expect("it is there")));
    // What came is closed when its time has been taken.
    bencher.counter(ItemsCount::new(count)).with_inputs(|| listed.clone()).bench_local_values(|listed| {
        let (came, ()) =
            runtime.block_on(async { tokio::join!(take(&mut there, count), give(&mut here, listed, &file)) });
        assert_eq!(came.len(), count);
        came
    });
}

async fn give(channel: &mut Channel, listed: Vec<Socket>, file: &Arc<OwnedFd>) {
    let mut left = listed.into_iter();
    loop {
        let batch: Vec<_> = left.by_ref().take(MAX_DESCRIPTORS).collect();
        if batch.is_empty() {
            return;
        }
        let descriptors = vec![Arc::clone(file); batch.len()];
        channel.say(&Message::Sockets(batch), descriptors);
        let heard = channel.next().await.expect("no failure");
        assert!(matches!(heard, Some((Message::Arrived { .. }, _))));
    }
}

async fn take(channel: &mut Channel, count: usize) -> Vec<(Socket, OwnedFd)> {
    let mut came = Vec::new();
    while came.len() < count {
        let Some((Message::Sockets(batch), descriptors)) = channel.next().await.expect("no failure") else {
            panic!("nothing but sockets is passed");
        };
        channel.say(&Message::Arrived { sockets: batch.len() as u32 }, Vec::new());
        came.extend(batch.into_iter().zip(descriptors));
    }
    came
}

/// A process may open 1,024 by habit. What came of a sample is kept until its time has been taken.
fn raise_descriptor_limit() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("every process has a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("up to that it may be raised");
}
