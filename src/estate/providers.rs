use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Taking;
use crate::{Error, ErrorKind, name::Name, state::PassedState};

/// Who gives what is to be passed at one moment of a restart, by name.
#[derive(Default)]
pub(crate) struct Providers(Mutex<BTreeMap<Name, Provider>>);

#[derive(Clone)]
pub(super) struct Provider {
    pub(super) version: u32,
    pub(super) give: Arc<dyn Fn() -> Giving + Send + Sync>,
}

/// What a provider is asked for, or why it can't give it.
pub(super) type Giving = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

impl Providers {
    /// In place of an earlier one of that name.
    pub(crate) fn add<F, R, E>(&self, name: Name, version: u32, provider: F) -> Result<(), Error>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
        E: Display,
    {
        let give = move || -> Giving {
            let given = provider();
            Box::pin(async move { given.await.map_err(|error| format!("failed: {error}")) })
        };
        let mut providers = self.lock();
        if providers.len() >= PassedState::MOST_NAMES && !providers.contains_key(&name) {
            let what = format!("state {name:?} is one too many: the limit is {} names", PassedState::MOST_NAMES);
            return Err(Error::new(ErrorKind::State, what));
        }
        let earlier = providers.insert(name, Provider { version, give: Arc::new(give) });
        // Not under the lock: what it has captured is the application's, and may do anything when it is dropped.
        drop(providers);
        drop(earlier);
        Ok(())
    }

    /// Whether there is nobody to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Asks all of them, at the same time. Panics outside a tokio runtime, if there are any.
    pub(crate) fn take(&self) -> Taking {
        let providers = self.lock().clone();
        Taking::begin(providers)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Provider>> {
        // No code of the user runs under it; a failed allocation leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}
