//! Bytes and descriptors over a Unix stream socket.

use std::{
    io::{self, IoSlice},
    mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::Peer;

/// The kernel's own limit for one message (`SCM_MAX_FD` in net/scm.h).
pub(crate) const MAX_DESCRIPTORS: usize = 253;

/// Sends what the kernel takes without waiting. The descriptors go with the first byte.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &[][..] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    Ok(sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?)
}

/// Room for the control data of one message, aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_SIZE]);

const CONTROL_SIZE: usize = space(MAX_DESCRIPTORS * size_of::<RawFd>()) + space(size_of::<libc::ucred>());

const fn space(data: usize) -> usize {
    // SAFETY: CMSG_SPACE only computes with its argument.
    unsafe { libc::CMSG_SPACE(data as u32) as usize }
}

/// What [`receive`] has brought beside descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// 0: the other end is closed.
    pub(crate) bytes: usize,
    /// This process has no room for all descriptors that came: those that did arrive are the first ones.
    pub(crate) lost_descriptors: bool,
}

/// Reads what lies in the socket without waiting. Descriptors are owned and close-on-exec before anything can fail.
///
/// Written against libc: nix refuses to list the descriptors of a truncated message, and so leaks them.
pub(crate) fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8], into: &mut Vec<OwnedFd>) -> io::Result<Received> {
    let message = receive_all(socket, bytes, into)?;
    Ok(Received { bytes: message.bytes, lost_descriptors: message.flags & libc::MSG_CTRUNC != 0 })
}

/// The same for who wants no descriptors: none that comes is ever installed in this process.
pub(crate) fn receive_bytes(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Received> {
    // Without room for control data: the kernel closes what it has none for.
    let bytes = nix::sys::socket::recv(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT)?;
    Ok(Received { bytes, lost_descriptors: false })
}

/// A datagram and its sender, as the kernel knows it: the socket was opened to be told ([`notify_socket`]).
/// Descriptors that came with it are closed, and one that is longer than `bytes` counts as empty.
///
/// [`notify_socket`]: super::notify_socket
pub(crate) fn receive_from(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Option<Peer>)> {
    let received = receive_all(socket, bytes, &mut Vec::new())?;
    let whole = received.flags & libc::MSG_TRUNC == 0;
    Ok((if whole { received.bytes } else { 0 }, received.sender))
}

/// What one `recvmsg` has brought, beside descriptors.
struct Arrived {
    bytes: usize,
    flags: libc::c_int,
    sender: Option<Peer>,
}

fn receive_all(socket: BorrowedFd<'_>, bytes: &mut [u8], into: &mut Vec<OwnedFd>) -> io::Result<Arrived> {
    let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = Control([0; CONTROL_SIZE]);
    // SAFETY: all-zero is a valid msghdr: null pointers with zero lengths.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_SIZE as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to `slice` and `control`, both alive and as long as stated.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    if read < 0 {
        return Err(io::Error::last_os_error());
    }
    let sender = own_descriptors(&header, into);
    Ok(Arrived { bytes: read as usize, flags: header.msg_flags, sender })
}

/// And says who has sent them, where the kernel does.
fn own_descriptors(header: &libc::msghdr, into: &mut Vec<OwnedFd>) -> Option<Peer> {
    let mut sender = None;
    // SAFETY: recvmsg has filled the header's control data, and msg_controllen says how much of it.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !control.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the control data.
        let cmsg = unsafe { ptr::read_unaligned(control) };
        if cmsg.cmsg_level == libc::SOL_SOCKET && cmsg.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: `control` is a whole header within the control data.
            let data: *const RawFd = unsafe { libc::CMSG_DATA(control) }.cast();
            // SAFETY: CMSG_LEN only computes with its argument.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            for index in 0..(cmsg.cmsg_len as usize - head) / size_of::<RawFd>() {
                // SAFETY: `index` is below the number of descriptors that cmsg_len states.
                let place = unsafe { data.add(index) };
                // SAFETY: the kernel has written a descriptor there.
                let number = unsafe { ptr::read_unaligned(place) };
                // SAFETY: the kernel has just installed it in this process, so nobody else owns it.
                into.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
        if cmsg.cmsg_level == libc::SOL_SOCKET && cmsg.cmsg_type == libc::SCM_CREDENTIALS {
            // SAFETY: `control` is a whole header within the control data.
            let data: *const libc::ucred = unsafe { libc::CMSG_DATA(control) }.cast();
            // SAFETY: the kernel has written credentials there.
            let found = unsafe { ptr::read_unaligned(data) };
            sender = Some(Peer { uid: found.uid, pid: found.pid as u32 });
        }
        // SAFETY: `control` came from this header.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    sender
}

/// Reads without taking: no descriptor is installed, and the bytes stay.
pub(crate) fn peek(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    Ok(nix::sys::socket::recv(socket.as_raw_fd(), bytes, flags)?)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;
    use crate::sys::{identity, socket_pair};

    #[test]
    fn descriptors_arrive_with_their_bytes_in_order() {
        let (here, there) = socket_pair().unwrap();
        let files: Vec<File> = (0..MAX_DESCRIPTORS).map(|_| tempfile::tempfile().unwrap()).collect();
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        assert_eq!(send(here.as_fd(), b"x", &borrowed).unwrap(), 1);
        let mut got = Vec::new();
        assert_eq!(receive(there.as_fd(), &mut [0; 8], &mut got).unwrap().bytes, 1);
        let identities = |fds: &[BorrowedFd<'_>]| fds.iter().map(|fd| identity(fd).unwrap()).collect::<Vec<_>>();
        assert_eq!(identities(&got.iter().map(AsFd::as_fd).collect::<Vec<_>>()), identities(&borrowed));
    }

    #[test]
    fn a_peek_installs_no_descriptor_and_leaves_the_bytes() {
        let (here, there) = socket_pair().unwrap();
        send(here.as_fd(), b"hello", &[here.as_fd()]).unwrap();
        let mut bytes = [0; 5];
        assert_eq!(peek(there.as_fd(), &mut bytes).unwrap(), 5);
        let mut got = Vec::new();
        assert_eq!(receive(there.as_fd(), &mut bytes, &mut got).unwrap().bytes, 5);
        assert_eq!((&bytes, got.len()), (b"hello", 1));
    }
}
