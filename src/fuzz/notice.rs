//! A datagram of a successor that knows only systemd.

use crate::process::{Said, said};

pub(super) fn run(datagram: &[u8]) {
    let said = said(datagram);
    let text = String::from_utf8_lossy(datagram);
    assert!(said.len() <= text.lines().count(), "a line says one thing");
    let is_ready = said.contains(&Said::Ready);
    assert_eq!(is_ready, text.lines().any(|line| line == "READY=1"), "nothing else than this is ready");
    for said in said {
        if let Said::Stopping(why) = said {
            assert!(!why.contains('\n'));
        }
    }
}
