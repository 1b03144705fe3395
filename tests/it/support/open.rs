//! A descriptor that is ours, and came as a number: through the environment, or beside a message.

use std::os::fd::{AsRawFd, RawFd};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv, send},
    unistd::close,
};

use super::process;

/// By its number, because unsafe code is for `src/sys`.
#[derive(Debug)]
pub struct Open(pub RawFd);

impl Open {
    /// What comes next through a socket, which does not block, because that belongs to the open file. Nothing: the other
    /// side's end.
    #[track_caller]
    pub fn hear(&self) -> Vec<u8> {
        let (mut bytes, mut heard) = ([0; 4096], None);
        process::until(|| match recv(self.0, &mut bytes, MsgFlags::empty()) {
            Err(Errno::EAGAIN) => false,
            other => {
                heard = Some(other.expect("no reset"));
                true
            }
        });
        bytes[..heard.expect("just heard")].to_vec()
    }

    /// A few bytes, which go out at once.
    #[track_caller]
    pub fn say(&self, bytes: &[u8]) {
        assert_eq!(send(self.0, bytes, MsgFlags::MSG_NOSIGNAL), Ok(bytes.len()));
    }
}

impl AsRawFd for Open {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        close(self.0).expect("it was open");
    }
}
