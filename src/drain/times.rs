use std::time::Duration;

/// When a drain gives up on what: on idle connections at the end of the *grace*, on everything at the *deadline*.
///
/// Both count from the drain's beginning. A grace that is longer than the deadline ends with it.
///
/// | | grace | deadline |
/// |---|---|---|
/// | [`for_restart`](Self::for_restart) | 5 s | 5 min |
/// | [`for_stop`](Self::for_stop) | 5 s | 20 s |
///
/// Kubernetes kills 30 s after its stop signal, and a `preStop` hook is part of them; Docker kills after 10 s unless
/// it is told otherwise, so there the deadline should be shorter.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tokio_hotrestart::drain::Times;
///
/// let docker = Times::for_stop().grace(Duration::from_secs(2)).deadline(Duration::from_secs(8));
/// # let _ = docker;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    grace: Duration,
    deadline: Duration,
}

/// What has sent nothing, half a head or half a handshake gets no more than this, however long the grace is.
const HALF_OPEN: Duration = Duration::from_secs(5);

impl Times {
    /// A successor serves, so there is no hurry: downloads and streams get five minutes.
    pub fn for_restart() -> Self {
        Self { grace: Duration::from_secs(5), deadline: Duration::from_secs(5 * 60) }
    }

    /// Somebody waits for the end, and kills when it does not come.
    pub fn for_stop() -> Self {
        Self { grace: Duration::from_secs(5), deadline: Duration::from_secs(20) }
    }

    /// How long a connection may idle before it is let go. Until then it is told with its next response, so that no
    /// request can race its end.
    pub fn grace(self, time: Duration) -> Self {
        Self { grace: time, ..self }
    }

    /// When everything that is left is cut.
    pub fn deadline(self, after: Duration) -> Self {
        Self { deadline: after, ..self }
    }

    pub(super) fn grace_within_deadline(&self) -> Duration {
        self.grace.min(self.deadline)
    }

    pub(super) fn half_open(&self) -> Duration {
        self.grace_within_deadline().min(HALF_OPEN)
    }

    pub(crate) fn until_deadline(&self) -> Duration {
        self.deadline
    }
}
