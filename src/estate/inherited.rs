use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::{name::Name, state::PassedState};

/// What the predecessor has passed, until the application takes it.
#[derive(Debug)]
pub(crate) struct Inherited {
    state: States,
    final_state: States,
    /// Ends when nothing more will come.
    expected: watch::Receiver<()>,
}

/// The final state, as long as it may still come. Dropped, it says that none will.
#[derive(Debug)]
pub(crate) struct Expected {
    final_state: States,
    /// Nothing is ever sent: its end is the message, so that nobody can forget to say it.
    _open: watch::Sender<()>,
}

#[derive(Clone, Debug, Default)]
struct States(Arc<Mutex<Vec<PassedState>>>);

impl Inherited {
    /// With what came before this generation was accepted.
    pub(crate) fn new(state: Vec<PassedState>) -> (Self, Expected) {
        let (open, expected) = watch::channel(());
        let final_state = States::default();
        let expects = Expected { final_state: final_state.clone(), _open: open };
        (Self { state: States(Arc::new(state.into())), final_state, expected }, expects)
    }

    /// What has come under this name. Once.
    pub(crate) fn state(&self, name: &Name) -> Option<PassedState> {
        self.state.take(name)
    }

    /// Drops what nobody has taken, for it may be large; its names.
    pub(crate) fn drop_rest(&self) -> Vec<Name> {
        let mut states = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.drain(..).map(|state| state.name().clone()).collect()
    }

    /// The same of the final state, when that has come, or none will.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken before it resolves.
    pub(crate) fn final_state(&self, name: Name) -> impl Future<Output = Option<PassedState>> + Send + use<> {
        let (final_state, mut expected) = (self.final_state.clone(), self.expected.clone());
        async move {
            while expected.changed().await.is_ok() {}
            final_state.take(&name)
        }
    }
}

impl Expected {
    /// This is all.
    pub(crate) fn settle(self, states: Vec<PassedState>) {
        *self.final_state.0.lock().unwrap_or_else(PoisonError::into_inner) = states;
    }
}

impl States {
    fn take(&self, name: &Name) -> Option<PassedState> {
        // Nothing panics under this lock.
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = states.iter().position(|state| state.name() == name)?;
        Some(states.swap_remove(place))
    }
}
