//! How much lies in a socket's queue.

use std::os::fd::{AsFd, AsRawFd};

/// How many bytes a stream socket holds at this moment, in all that has come.
pub(crate) fn unread(socket: impl AsFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one `int` to the address, which is that of `bytes`, and the descriptor is borrowed for the call.
    let asked = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    // No stream socket refuses it; what is none holds nothing.
    if asked == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::sys::socket_pair;

    #[test]
    fn what_has_come_in_several_pieces_is_counted_to_the_byte() {
        let (ours, theirs) = socket_pair().unwrap();
        assert_eq!(unread(&ours), 0);
        let mut theirs = std::os::unix::net::UnixStream::from(theirs);
        theirs.write_all(&[0; 1_000]).unwrap();
        theirs.write_all(&[0; 234]).unwrap();
        assert_eq!(unread(&ours), 1_234);
        drop(theirs);
        assert_eq!(unread(&ours), 1_234);
    }
}
