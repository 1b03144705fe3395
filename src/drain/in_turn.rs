use tokio::time::{Instant, sleep_until};

use super::Watch;
use crate::generation::Cause;

impl Watch {
    /// Waits for a moment of this caller's own in the drain's grace, and says why this generation ends: as
    /// [`draining`](Self::draining), but spread over the grace, so that clients to whom handlers say goodbye do not come
    /// back all at once. With [`Times::at_once`](super::Times::at_once) it is the drain's beginning, as there.
    ///
    /// The moment is chosen when this is called: call it once for each client, and poll the same future again and again.
    /// Where the drain is shortened it comes nearer, and it is never later than the drain's deadline. At once, when it has
    /// passed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits. Called again, it waits for another moment.
    ///
    /// # Examples
    ///
    /// A stream for each client, that ends in the client's turn:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{Stream, StreamExt, stream};
    /// use tokio_hotrestart::{Graceful, drain::Watch};
    ///
    /// fn ticks(watch: &Watch) -> impl Stream<Item = &'static str> + use<> {
    ///     stream::repeat("tick").take_until(watch.draining_in_turn())
    /// }
    /// # let graceful = Graceful::detached();
    /// assert_eq!(Box::pin(ticks(&graceful.watch())).next().await, Some("tick"));
    /// # }
    /// ```
    pub fn draining_in_turn(&self) -> impl Future<Output = Cause> + Send + use<> {
        let (watch, turn) = (self.clone(), self.turn());
        async move {
            let cause = watch.draining().await;
            let lane = watch.lane();
            loop {
                // Made before the times are looked at: a change in between wakes it although it was never polled.
                let changed = lane.notified();
                let at = watch.schedule().in_turn_at(turn).expect("the times are written before the level rises");
                if at <= Instant::now() {
                    return cause;
                }
                tokio::select! {
                    () = sleep_until(at) => {}
                    () = changed => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::task::JoinSet;

    use super::{
        super::{Drain, Times},
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn times() -> Times {
        Times::for_stop().grace(SECOND * 10).deadline(SECOND * 20)
    }

    fn begin(drain: &Drain, times: &Times) {
        drain.begin(Cause::Stopped { by: None }, times);
    }

    /// A hundred that have asked, and wait. Each tells when it was told.
    fn hundred(watch: &Watch) -> JoinSet<Instant> {
        let told = |watch: &Watch| watch.draining_in_turn().map(|_| Instant::now());
        (0..100).map(|_| told(watch)).collect()
    }

    /// How many were told in each tenth of the grace.
    async fn tenths(began: Instant, told: JoinSet<Instant>) -> [usize; 10] {
        let mut tenths = [0; 10];
        for at in told.join_all().await {
            // A timer has a grain of a millisecond, which may be the one beyond the end.
            tenths[((at - began).as_secs() as usize).min(9)] += 1;
        }
        tenths
    }

    #[tokio::test(start_paused = true)]
    async fn each_has_its_own_moment_and_each_tenth_of_the_grace_as_many() {
        let drain = Drain::new();
        let told = hundred(&drain.watch());
        begin(&drain, &times());
        let tenths = tenths(Instant::now(), told).await;
        assert!(tenths.iter().all(|count| (8..=12).contains(count)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_once_it_is_the_beginning_and_not_a_lame_ducks() {
        let drain = Drain::new();
        let times = times().at_once().lame_duck(SECOND * 5);
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(drain.watch().draining_in_turn())).collect();
        drain.begin_lame_duck(Cause::Stopped { by: None }, &times);
        assert!(waiting.iter_mut().all(|it| it.now_or_never().is_none()));
        begin(&drain, &times);
        assert!(waiting.into_iter().all(|it| it.now_or_never().is_some_and(|cause| !cause.is_replaced())));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_lame_duck_it_is_spread_over_the_grace_all_the_same() {
        let drain = Drain::new();
        let told = hundred(&drain.watch());
        drain.begin_lame_duck(Cause::Stopped { by: None }, &times().lame_duck(SECOND * 5));
        tokio::time::sleep(SECOND * 5).await;
        begin(&drain, &times());
        let tenths = tenths(Instant::now(), told).await;
        assert!(tenths.iter().all(|count| (8..=12).contains(count)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_in_the_middle_waits_for_a_moment_that_is_left_or_not_at_all() {
        let drain = Drain::new();
        begin(&drain, &times());
        let began = Instant::now();
        tokio::time::sleep(SECOND * 5).await;
        let tenths = tenths(began, hundred(&drain.watch())).await;
        assert!((48..=62).contains(&tenths[5]), "{tenths:?}");
        assert!(tenths[6..].iter().all(|count| (8..=12).contains(count)), "{tenths:?}");
        sleep_until(began + SECOND * 10).await;
        assert!((0..100).all(|_| drain.watch().draining_in_turn().now_or_never().is_some()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_is_shortened_brings_every_moment_nearer() {
        let drain = Drain::new();
        let told = hundred(&drain.watch());
        begin(&drain, &times().grace(SECOND * 1_000).deadline(SECOND * 1_000));
        let began = Instant::now();
        tokio::task::yield_now().await;
        drain.shorten(&times());
        let tenths = tenths(began, told).await;
        assert!(tenths.iter().all(|count| (8..=12).contains(count)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_deadline_or_a_cut() {
        let drain = Drain::new();
        let watch = drain.watch();
        begin(&drain, &times().grace(Duration::MAX));
        let (began, told) = (Instant::now(), hundred(&watch));
        tokio::time::sleep(SECOND).await;
        drain.cut();
        for at in told.join_all().await {
            assert!(at - began <= SECOND + Duration::from_millis(1));
        }
        let drain = Drain::new();
        begin(&drain, &times().grace(Duration::MAX));
        let (began, told) = (Instant::now(), hundred(&drain.watch()));
        let last = told.join_all().await.into_iter().max().expect("a hundred");
        assert!((SECOND * 19..=SECOND * 20 + Duration::from_millis(1)).contains(&(last - began)));
    }
}
