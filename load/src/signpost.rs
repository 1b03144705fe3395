//! Where new connections go, while a load runs.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Where new connections go, as a load balancer would send them: it may be turned while a load runs. Connections that are
/// open stay where they are.
#[derive(Clone, Debug)]
pub struct Signpost(Arc<Mutex<SocketAddr>>);

impl Signpost {
    /// Points there.
    pub fn new(address: SocketAddr) -> Self {
        Self(Arc::new(Mutex::new(address)))
    }

    /// From now on it points there.
    pub fn turn(&self, address: SocketAddr) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only a signpost and its clones are the same: others turn by themselves.
impl PartialEq for Signpost {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Signpost {}
