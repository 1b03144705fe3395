//! State of the application that goes to the next generation, and what has come from the one before.

use std::{fmt::Display, future::Future, sync::Weak};

use super::Graceful;
use crate::{Error, ErrorKind, PassedState, name::Name};

impl Graceful {
    /// Passes bytes to the successor before it is ready: at each restart the provider is asked for them, before the successor
    /// is spawned, and while this generation still serves. In place of an earlier provider of that name.
    ///
    /// A provider that fails, panics or takes longer than ten seconds, or gives more than [`PassedState::MOST_BYTES`],
    /// fails the restart with [`ErrorKind::State`], and this generation serves on. All are asked at the same time. A
    /// [`foreign_successor`](crate::Builder::foreign_successor) gets no state.
    ///
    /// What changes until the successor serves is not in it: that is what
    /// [`pass_final_state`](Self::pass_final_state) is for. `version` is yours: raise it when the bytes begin to mean
    /// something else. Both directions come, for a rollback is a restart by an older program.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`] for a name that can't be one, as of a socket; [`ErrorKind::State`] for more than
    /// [`PassedState::MOST_NAMES`] names.
    ///
    /// # Examples
    ///
    /// With serde, in whichever of its formats. This program knows version 2, still reads version 1, and refuses one of
    /// which it can't know what it means; then the predecessor serves on:
    ///
    /// ```no_run
    /// use serde::{Deserialize, Serialize};
    /// use tokio_hotrestart::{Error, Graceful};
    ///
    /// const VERSION: u32 = 2;
    ///
    /// #[derive(Clone, Default, Serialize, Deserialize)]
    /// struct Sessions {
    ///     users: Vec<String>,
    ///     #[serde(default)] // new in version 2
    ///     limit: Option<u32>,
    /// }
    ///
    /// fn inherited(graceful: &Graceful) -> Result<Sessions, Error> {
    ///     match graceful.passed_state("sessions") {
    ///         None => Ok(Sessions::default()),
    ///         Some(state) if state.version() > VERSION => {
    ///             Err(graceful.refuse(format!("sessions of version {}, this program knows {VERSION}", state.version())))
    ///         }
    ///         Some(state) => serde_json::from_slice(state.bytes()).map_err(|error| graceful.refuse(error)),
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let graceful = Graceful::new().await?;
    /// let sessions = inherited(&graceful)?;
    /// graceful.pass_state("sessions", VERSION, move || {
    ///     let sessions = sessions.clone();
    ///     async move { serde_json::to_vec(&sessions) }
    /// })?;
    /// graceful.ready().await?;
    /// # Ok(()) }
    /// ```
    pub fn pass_state<F, R, E>(&self, name: &str, version: u32, provider: F) -> Result<(), Error>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
        E: Display,
    {
        self.shared.providers.add(Name::new(name)?, version, provider)
    }

    /// What the predecessor has passed under this name, from the moment on when this handle was built, and until
    /// [`ready`](Self::ready), which drops what nobody has taken. It is given once, for it may be large: to another one who
    /// asks, and in a generation without a predecessor, it is `None`.
    ///
    /// See [`pass_state`](Self::pass_state) for an example.
    pub fn passed_state(&self, name: &str) -> Option<PassedState> {
        self.shared.inherited.state(&Name::new(name).ok()?)
    }

    /// Refuses to be the successor, for this reason: the restart fails with [`ErrorKind::Refused`], whoever asked for it is told
    /// why, and the predecessor serves on. Here, [`ready`](Self::ready) is an error from now on; return this one from `main`,
    /// for the predecessor waits a moment for this process's end before it kills it.
    ///
    /// Before [`ready`](Self::ready) only: after that, and in a generation without a predecessor, nobody is told, and it
    /// only makes the error.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tokio_hotrestart::{ErrorKind, Graceful};
    ///
    /// let graceful = Graceful::detached();
    /// let error = graceful.refuse("state version 9");
    /// assert_eq!((error.kind(), error.message()), (ErrorKind::Refused, "state version 9"));
    /// # }
    /// ```
    pub fn refuse(&self, why: impl Display) -> Error {
        let error = Error::new(ErrorKind::Refused, why.to_string());
        if let Some(refuser) = Weak::upgrade(&self.shared.refuser) {
            refuser.refuse(&error);
            // The loop ends only when `ready()` is an error anyway.
            let _ = self.shared.failed.send(error.clone());
        }
        error
    }

    /// Passes bytes to the successor that are true until the end: the provider is asked for them at a restart's point of no
    /// return, when this generation accepts nobody any more. In place of an earlier provider of that name.
    ///
    /// Nothing can be refused any more then. A provider that fails, panics or takes longer than ten seconds, or gives more than
    /// [`PassedState::MOST_BYTES`], is logged here and in the successor, which gets `None`. The drain waits, until its
    /// deadline, until the successor has everything. Connections that were accepted before still drain meanwhile: what
    /// they change after the provider was asked is not passed.
    ///
    /// It is not asked before the predecessor's own final state has come here, or never will: a restart may follow another
    /// closely. Where that one is a part of this one, the provider waits until the application has taken it in.
    ///
    /// # Errors
    ///
    /// As [`pass_state`](Self::pass_state).
    ///
    /// # Examples
    ///
    /// A counter that no generation begins anew:
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// use tokio::sync::watch;
    ///
    /// let graceful = tokio_hotrestart::Graceful::new().await?;
    /// let orders = Arc::new(AtomicU64::new(0));
    /// let (added, is_added) = watch::channel(false);
    /// let counter = Arc::clone(&orders);
    /// graceful.pass_final_state("orders", 1, move || {
    ///     let (counter, mut is_added) = (Arc::clone(&counter), is_added.clone());
    ///     async move {
    ///         is_added.wait_for(|added| *added).await?; // what came before is a part of it
    ///         Ok::<_, watch::error::RecvError>(counter.load(Ordering::Relaxed).to_le_bytes().to_vec())
    ///     }
    /// })?;
    /// graceful.ready().await?;
    /// if let Some(state) = graceful.final_state("orders").await {
    ///     let before = state.bytes().try_into().map_or(0, u64::from_le_bytes);
    ///     orders.fetch_add(before, Ordering::Relaxed);
    /// }
    /// added.send_replace(true);
    /// # Ok(()) }
    /// ```
    pub fn pass_final_state<F, R, E>(&self, name: &str, version: u32, provider: F) -> Result<(), Error>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
        E: Display,
    {
        self.shared.final_providers.add(Name::new(name)?, version, provider)
    }

    /// Waits for what the predecessor passes under this name when it has let go. `None` when it passes no such thing, failed to
    /// take it (this process's log says why), or has ended; in a generation without a predecessor at once; and to another one
    /// who asks, for it is given once.
    ///
    /// It comes after [`ready`](Self::ready), some time after the probation: to await it before would be to wait for oneself.
    /// Requests come before it: until then, the predecessor may still take the restart back.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken before it resolves: it may be dropped and asked for again.
    pub fn final_state(&self, name: &str) -> impl Future<Output = Option<PassedState>> + Send + use<> {
        let coming = Name::new(name).ok().map(|name| self.shared.inherited.final_state(name));
        async move { coming?.await }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::Mutex,
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;
    use crate::State;

    /// A bound for a broken run, and never part of what is tested.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_generation_without_a_predecessor_has_nothing_and_waits_for_nothing() {
        let graceful = Graceful::detached();
        assert_eq!(graceful.passed_state("a"), None);
        assert_eq!(timeout(PATIENCE, graceful.final_state("a")).await.unwrap(), None);
        assert_eq!(timeout(PATIENCE, graceful.final_state("no:name")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_name_that_can_not_be_one_is_refused_at_both_moments() {
        let graceful = Graceful::detached();
        let give = || ready(Ok::<_, Error>(vec![]));
        assert_eq!(graceful.pass_state("a:b", 1, give).unwrap_err().kind(), ErrorKind::Name);
        assert_eq!(graceful.pass_final_state("", 1, give).unwrap_err().kind(), ErrorKind::Name);
    }

    #[tokio::test]
    async fn a_refusal_ends_the_successor_only() {
        let place = tempfile::tempdir().unwrap();
        let start = || Graceful::builder().control(place.path().join("control")).build();
        let first = start().await.unwrap();
        first.ready().await.unwrap();
        let second = timeout(PATIENCE, start()).await.unwrap().unwrap();
        assert_eq!((second.generation(), *first.state().borrow()), (1, State::Restarting));
        let error = second.refuse("state version 9");
        assert_eq!((error.kind(), error.message()), (ErrorKind::Refused, "state version 9"));
        let answer = timeout(PATIENCE, second.ready()).await.unwrap().unwrap_err();
        assert_eq!((answer.kind(), answer.message()), (ErrorKind::Refused, "state version 9"));
        timeout(PATIENCE, second.drain()).await.unwrap();
        timeout(PATIENCE, first.state().wait_for(|state| *state == State::Ready)).await.unwrap().unwrap();
        first.stop();
        timeout(PATIENCE, first.drain()).await.unwrap();
    }

    #[tokio::test]
    async fn a_generation_that_serves_has_nobody_left_to_refuse_to() {
        let graceful = Graceful::detached();
        graceful.ready().await.unwrap();
        assert_eq!(graceful.refuse("too late").kind(), ErrorKind::Refused);
        // The loop has had its turn.
        graceful.ready().await.unwrap();
        assert_eq!(*graceful.state().borrow(), State::Ready);
    }
    async fn met_at(path: &std::path::Path, probation: Duration) -> Graceful {
        let builder = Graceful::builder().signals(crate::Signals::none()).probation(probation).control(path);
        timeout(PATIENCE, builder.build()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn the_final_state_is_asked_for_when_accepting_has_ended() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("control");
        let first = met_at(&path, Duration::ZERO).await;
        let (token, mut signal) = (first.token(), Box::pin(first.restart_signal()));
        let is_over = move || {
            let now = signal.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            token.is_cancelled() && matches!(now, Poll::Ready(cause) if cause.is_replaced())
        };
        let is_over = Mutex::new(is_over);
        first
            .pass_final_state("over", 1, move || ready(Ok::<_, Error>(vec![is_over.lock().unwrap()().into()])))
            .unwrap();
        first.ready().await.unwrap();
        let second = met_at(&path, Duration::ZERO).await;
        second.ready().await.unwrap();
        let state = timeout(PATIENCE, second.final_state("over")).await.unwrap().unwrap();
        assert_eq!(state.bytes(), [1]);
        timeout(PATIENCE, first.drain()).await.unwrap();
        second.stop();
        timeout(PATIENCE, second.drain()).await.unwrap();
    }

    #[tokio::test]
    async fn a_state_that_nobody_has_taken_is_dropped_at_ready() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("control");
        let first = met_at(&path, Duration::ZERO).await;
        for name in ["taken", "late"] {
            first.pass_state(name, 1, || ready(Ok::<_, Error>(vec![7]))).unwrap();
        }
        first.ready().await.unwrap();
        let second = met_at(&path, Duration::ZERO).await;
        assert_eq!(second.passed_state("taken").unwrap().bytes(), [7]);
        second.ready().await.unwrap();
        assert_eq!(second.passed_state("late"), None);
        timeout(PATIENCE, first.drain()).await.unwrap();
        second.stop();
        timeout(PATIENCE, second.drain()).await.unwrap();
    }
}
