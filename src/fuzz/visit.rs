//! What is said at the control path: first the input is a visitor's word to this process, then a server's answer to it.

use std::{path::Path, sync::Arc};

use tokio::{net::UnixStream, sync::Semaphore};

use super::{
    block_on,
    descriptors::Descriptors,
    said::{ends, hang_up, said},
};
use crate::{
    control::{Allowed, Denied, Reply, Visitor, answer},
    sys,
    wire::{Answer, Message, Wish},
};

pub(super) fn run(input: &[u8]) {
    let descriptors = Descriptors::new();
    block_on(async {
        visitor(&descriptors, input).await;
        server(&descriptors, input).await;
    });
    descriptors.assert_closed();
}

/// Who is heard wants something that can be done; whoever said something else is told why not.
async fn visitor(descriptors: &Descriptors, input: &[u8]) {
    let (ours, theirs) = sys::socket_pair().expect("a pair");
    descriptors.feed(&theirs, input);
    hang_up(&theirs);
    sys::set_blocking(&ours, false).expect("a socket");
    let stream = UnixStream::from_std(ours.into()).expect("a socket");
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
    let allowed = Allowed::new([sys::effective_uid()]);
    match Visitor::hear(stream, allowed, Denied::default(), place).await {
        Some(visitor) => {
            assert!(matches!(visitor.wish(), Wish::TakeOver | Wish::Restart | Wish::Status | Wish::Stop));
            // Passed on whole, or not at all.
            if let Some((want, socket)) = visitor.into_socket() {
                Visitor::forwarded(want, socket).expect("a socket").answer(Answer::Other(9));
                assert_eq!(said(theirs), [Message::Answer(Answer::Other(9))]);
            }
        }
        None => {
            let said = said(theirs);
            let is_refusal =
                |it: &Message| matches!(it, Message::Answer(Answer::Failed(why)) if !why.message().is_empty());
            assert!(said.len() <= 1 && said.iter().all(is_refusal), "{said:?}");
        }
    }
}

/// What it says is an answer, or an error that says which server has said it.
async fn server(descriptors: &Descriptors, input: &[u8]) {
    let (channel, theirs) = ends();
    descriptors.feed(&theirs, input);
    hang_up(&theirs);
    match answer(Path::new("/run/server.control"), channel).await {
        Ok(Reply::Status(status)) => drop(format!("{status:?}")),
        Ok(Reply::Replaced(_) | Reply::Stopped(_)) => {}
        // The server's own words may be none.
        Err(error) => drop((error.to_string(), error.exit_status(), error.stderr().map(str::len))),
    }
}
