use std::time::Duration;

/// When an ending generation does what: how long it is a *lame duck*, when its drain gives up on idle connections (at
/// the end of the *grace*), and when on everything (at the *deadline*).
///
/// A stop begins with the lame duck: this generation says that it is not ready and tells its clients to go, but still
/// serves whoever comes, because a load balancer takes a while to hear of it. Then accepting ends, and the drain begins;
/// grace and deadline count from there.
///
/// So a stop takes at most lame duck and deadline together, and then up to a second for what was cut to notice, the exit
/// hooks (each its own deadline, 5 s), and up to two for what is last to close. [The pod's
/// seconds](../guide/kubernetes/index.html#the-pods-seconds) have the sum.
///
/// A restart has no lame duck, whatever is set here: its successor accepts. A grace that is longer than the deadline ends
/// with it.
///
/// | | lame duck | grace | deadline |
/// |---|---|---|---|
/// | [`for_restart`](Self::for_restart) | none | 5 s | 5 min |
/// | [`for_stop`](Self::for_stop) | 0 s | 5 s | 20 s |
///
/// Kubernetes kills 30 s after its stop signal, and a `preStop` hook is part of them; Docker kills after 10 s unless
/// it is told otherwise, so there the deadline should be shorter by all that comes after it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tokio_hotrestart::drain::Times;
///
/// let docker = Times::for_stop().grace(Duration::from_secs(2)).deadline(Duration::from_secs(6));
/// let kubernetes = Times::for_stop().lame_duck(Duration::from_secs(5));
/// # let _ = (docker, kubernetes);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    lame_duck: Duration,
    grace: Duration,
    deadline: Duration,
    spread: Spread,
}

/// Whether clients are sent away one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    Evenly,
    AtOnce,
}

/// Half a head or half a handshake gets no more than this, however long the grace is.
const HALF_OPEN: Duration = Duration::from_secs(5);

impl Times {
    /// A successor serves, so there is no hurry: downloads and streams get five minutes.
    pub fn for_restart() -> Self {
        let (grace, deadline) = (Duration::from_secs(5), Duration::from_secs(5 * 60));
        Self { lame_duck: Duration::ZERO, grace, deadline, spread: Spread::Evenly }
    }

    /// Somebody waits for the end, and kills when it does not come.
    pub fn for_stop() -> Self {
        Self { deadline: Duration::from_secs(20), ..Self::for_restart() }
    }

    /// How long a stop still accepts although it says that it is not ready (0 s). At a restart it means nothing.
    ///
    /// As long as those who send clients need to hear of it: with Kubernetes a few seconds, with a load balancer that
    /// probes as many of its intervals as it wants to see fail. It comes before the deadline's time, not out of it.
    pub fn lame_duck(self, time: Duration) -> Self {
        Self { lame_duck: time, ..self }
    }

    /// Over how long clients are sent away. With each response the chance that it says `connection: close` grows, until
    /// at the grace's end all do (with a lame duck, until its end); and idle connections are let go one after the other,
    /// each when it has been quiet for a fifth of the grace. So a client that asks more often than that is always told
    /// first, and no request of its can race the end.
    pub fn grace(self, time: Duration) -> Self {
        Self { grace: time, ..self }
    }

    /// When everything that is left is cut.
    pub fn deadline(self, after: Duration) -> Self {
        Self { deadline: after, ..self }
    }

    /// Not spread: everybody is told with the next response, and idle connections are let go together, when they have
    /// been quiet for the whole grace.
    ///
    /// For few clients, or where each must hear of it at once. Many come back all in the same moment.
    pub fn at_once(self) -> Self {
        Self { spread: Spread::AtOnce, ..self }
    }

    pub(crate) fn until_drain(&self) -> Duration {
        self.lame_duck
    }

    pub(crate) fn until_deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn grace_within_deadline(&self) -> Duration {
        self.grace.min(self.deadline)
    }

    pub(super) fn half_open(&self) -> Duration {
        self.grace_within_deadline().min(HALF_OPEN)
    }

    /// How long a connection has to idle before it may be let go.
    pub(super) fn quiet(&self) -> Duration {
        match self.spread {
            Spread::Evenly => self.grace_within_deadline() / 5,
            Spread::AtOnce => self.grace_within_deadline(),
        }
    }

    /// Until everybody is told, of all who are told within this time.
    pub(super) fn until_told(&self, within: Duration) -> Duration {
        match self.spread {
            Spread::Evenly => within,
            Spread::AtOnce => Duration::ZERO,
        }
    }
}
