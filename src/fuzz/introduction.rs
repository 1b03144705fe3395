//! What somebody passes who says to be a predecessor. All of it is taken, or it is refused with a reason.

use std::{collections::HashSet, os::fd::OwnedFd};

use tokio::net::{TcpListener, UdpSocket, UnixDatagram};

use super::{
    block_on,
    descriptors::Descriptors,
    said::{ends, hang_up, said},
};
use crate::{
    process::{Introduction, take_over},
    sockets::{self, Registry},
    wire::Message,
};

pub(super) fn run(input: &[u8]) {
    let descriptors = Descriptors::new();
    block_on(async {
        let (channel, theirs) = ends();
        descriptors.feed(&theirs, input);
        hang_up(&theirs);
        let accepted = match take_over(channel).await {
            Ok(introduction) => judge(introduction).await,
            // A predecessor that wants none says why itself, and its words may be none.
            Err(_) => false,
        };
        let said = said(theirs);
        let answers = said.iter().filter(|it| !matches!(it, Message::Arrived { .. }));
        let accepts = |answer: &Message| matches!(answer, Message::Accepted { .. });
        let answers: Vec<_> = answers.map(accepts).collect();
        // A predecessor that has declined, or was never heard, is not answered.
        assert!(answers == [accepted] || (!accepted && answers.is_empty()), "{said:?}");
    });
    descriptors.assert_closed();
}

/// As the roof does before it accepts.
async fn judge(introduction: Introduction) -> bool {
    let Introduction { sockets, answer, .. } = introduction;
    let names: Vec<_> = sockets.iter().map(|(socket, _)| socket.name.clone()).collect();
    match sockets::verify(sockets) {
        Ok(verified) => {
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "no name twice");
            let mut registry = Registry::inherit(verified);
            for name in &names {
                // Each at most once, whatever it is.
                let claims = [
                    registry.claim::<TcpListener>(name).is_ok_and(|it| it.is_some()),
                    registry.claim::<UdpSocket>(name).is_ok_and(|it| it.is_some()),
                    registry.claim::<UnixDatagram>(name).is_ok_and(|it| it.is_some()),
                    registry.claim::<OwnedFd>(name).is_ok_and(|it| it.is_some()),
                ];
                assert!(claims.iter().filter(|claimed| **claimed).count() <= 1, "{name}: {claims:?}");
            }
            let claimed = registry.claimed();
            assert!(claimed.iter().all(|place| names.get(*place as usize).is_some()));
            drop(answer.accept());
            true
        }
        Err(error) => {
            assert!(!error.message().is_empty());
            answer.refuse(&error).await;
            false
        }
    }
}
