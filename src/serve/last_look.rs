use hyper::body::Bytes;

use super::Io;
use crate::drain;

/// What lies in the socket although the reactor may not have told of it.
pub(super) fn last_look<T: Io>(io: &T) -> Option<Bytes> {
    let mut read = [0; 2048];
    drain::last_look(io, &mut read).map(|length| Bytes::copy_from_slice(&read[..length]))
}
