//! Live connections of the application's own: to the next generation, and from the one before.

use std::future::Future;

use super::Graceful;
use crate::{
    Error,
    name::Name,
    raw::{self, Inherited, NotHandedOver},
};

impl Graceful {
    /// Hands a live connection over to the successor, with what belongs to it: any TCP or Unix stream that the application
    /// owns, plain or [`Tracked`](crate::Tracked), also one that [`serve::downcast`](crate::serve::downcast) has got out of an
    /// upgrade. There it comes out of [`inherited`](Self::inherited) under this protocol's name.
    ///
    /// `state` is whatever the successor has to know beside the socket: bytes that were read and not used, a session. At most
    /// 1 MiB. What was written must have been flushed by then.
    ///
    /// It waits until the successor has said whether it takes the connection, and before that for the
    /// [final state](Self::pass_final_state) to go first. From the call on the connection counts: the drain waits with it,
    /// until its deadline. No more than 16 such connections are on their way at a time; the others wait for their turn,
    /// unread, until a grace before that deadline, when they are given back to be told.
    ///
    /// `Ok` means that the successor has taken it. It counts as [handed over](crate::Report::handed_over) then, whatever
    /// becomes of it: if the successor dies in the next moment, the connection ends with it.
    ///
    /// # Errors
    ///
    /// [`NotHandedOver`]: with the connection, whole, but where it is [lost](NotHandedOver::Lost). At once, and without a word to anybody: before the
    /// drain of a restart, in a stop, for a successor that can't take connections (an older version, a
    /// [foreign](crate::Builder::foreign_successor) one), for a name that can't be one, and for too much state.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped, it has given the connection up. If it was offered by then, the successor may have it, or will;
    /// if not, it is closed.
    ///
    /// # Examples
    ///
    /// A loop that leaves its connection in a pause, when this generation is replaced (both ends: [`raw`]):
    ///
    /// ```no_run
    /// use tokio::{io::{AsyncBufReadExt, AsyncWriteExt, BufReader}, net::TcpStream};
    /// use tokio_hotrestart::{Graceful, Tracked};
    ///
    /// # async fn serve(graceful: Graceful, stream: Tracked<TcpStream>) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut stream = BufReader::new(stream);
    /// let mut line = Vec::new(); // in which `read_until` leaves what it has read when it is dropped
    /// let watch = graceful.watch();
    /// loop {
    ///     tokio::select! {
    ///         read = stream.read_until(b'\n', &mut line) => if read? == 0 { return Ok(()) },
    ///         cause = watch.draining() => {
    ///             line.extend_from_slice(stream.buffer()); // what has come and was not looked at
    ///             assert!(cause.is_replaced(), "an example has no stop");
    ///             return Ok(graceful.hand_over(stream.into_inner(), "lines", line).await?);
    ///         }
    ///     }
    ///     stream.write_all(&line).await?;
    ///     line.clear();
    /// }
    /// # }
    /// ```
    pub fn hand_over<S, B>(
        &self,
        stream: S,
        protocol: &str,
        state: B,
    ) -> impl Future<Output = Result<(), NotHandedOver<S>>> + Send + use<S, B>
    where
        S: raw::Stream,
        B: Into<Vec<u8>>,
    {
        let (exit, tracker, cause) = (self.shared.exit.clone(), self.tracker().clone(), self.shared.cause.subscribe());
        raw::leave(exit, tracker, cause, stream, Name::new(protocol), state.into())
    }

    /// The connections of this protocol that the predecessor [hands over](Self::hand_over), from now on until it has none left.
    ///
    /// Ask before [`ready`](Self::ready): what nobody has asked for within
    /// [`Builder::unclaimed_deadline`](crate::Builder::unclaimed_deadline) goes back to the predecessor, which serves it as long
    /// as it drains. They come after `ready`, when the predecessor has let go. Several who ask for one protocol get
    /// them in turn.
    ///
    /// In a generation without a predecessor the stream is over at once. Else it is over when the predecessor has drained,
    /// which may take as long as its restart's deadline: so whoever waits for the next one does that in a task that the drain
    /// does not wait for, a plain `tokio::spawn`. In one of [`spawn`](Self::spawn) a generation that is soon replaced itself
    /// could not end before its predecessor does. Each connection counts by itself.
    ///
    /// Of three generations that follow each other quickly the middle one still takes, to hand on, while it drains. When it
    /// has nothing left it ends, and what the first one offers it then goes back: those clients are told, and reconnect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`](crate::ErrorKind::Name) for a name that can't be one, as of a socket.
    ///
    /// # Examples
    ///
    /// Each is served as one that was accepted, from where it was left:
    ///
    /// ```
    /// use tokio::net::TcpStream;
    /// use tokio_hotrestart::{Graceful, Tracked};
    ///
    /// async fn serve(stream: Tracked<TcpStream>, unread: Vec<u8>) { /* ... */ }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// # let graceful = Graceful::detached();
    /// let mut inherited = graceful.inherited("lines")?;
    /// tokio::spawn(async move {
    ///     while let Some(arrival) = inherited.next().await {
    ///         if let Ok((stream, unread)) = arrival.into_tcp() {
    ///             tokio::spawn(serve(stream, unread));
    ///         }
    ///     }
    /// });
    /// graceful.ready().await?;
    /// # graceful.drain().await; Ok(()) }
    /// ```
    pub fn inherited(&self, protocol: &str) -> Result<Inherited, Error> {
        Ok(Inherited::new(&self.shared.entrances, self.tracker().clone(), Name::new(protocol)?))
    }
}
