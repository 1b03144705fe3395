use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    task::coop::has_budget_remaining,
    time::Instant,
};

use super::{Alarm, last_look, later};

/// How the input of a raw connection ends once the drain has begun, by [`Tracked::end_input`](super::Tracked::end_input).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndInput {
    /// What has already arrived is still read. For protocols in which a client asks again and again: everything that was
    /// received is answered, and then the connection is closed.
    AfterWhatCame,
    /// What arrives is read until a read has waited for this time and nothing has come. For protocols whose clients don't ask
    /// again what they have not seen answered: let go in a pause, and not in a conversation.
    WhenIdle(Duration),
}

/// The reading half of a connection whose input is to end.
pub(super) struct Input<Io> {
    how: EndInput,
    look: fn(&Io, &mut [u8]) -> Option<usize>,
    /// Since when a read has waited. Not since the last bytes came: what is made of those takes time too, and its client
    /// asks again only when it has its answer.
    waits_since: Option<Instant>,
    alarm: Alarm,
    has_ended: bool,
}

impl<Io: 'static> Input<Io> {
    pub(super) fn new(how: EndInput) -> Self {
        // Noted here, where the type is known to be whole, and so no user of `Tracked` has to promise it.
        Self { how, look: last_look::<Io>, waits_since: None, alarm: Alarm::default(), has_ended: false }
    }
}

impl<Io> Input<Io> {
    /// As if no read had waited yet.
    pub(super) fn wait_anew(&mut self) {
        self.waits_since = None;
    }
}

impl<Io: AsyncRead + Unpin> Input<Io> {
    /// Reads, once the drain has begun. No bytes: the input has ended.
    pub(super) fn poll_read(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Into no space nothing can be read, and that is not the end.
        if self.has_ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut *io).poll_read(cx, buf);
        if polled.is_ready() {
            self.waits_since = None;
            return polled;
        }
        // A task that has used up its budget is told "pending" too: that is no end, and it is woken at once.
        if !has_budget_remaining() || !self.poll_over(cx) {
            return Poll::Pending;
        }
        // "Pending" can also mean that the reactor has not yet told of what the kernel has.
        match (self.look)(io, buf.initialize_unfilled()) {
            Some(read) => {
                buf.advance(read);
                self.waits_since = None;
            }
            None => self.has_ended = true,
        }
        Poll::Ready(Ok(()))
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> bool {
        match self.how {
            EndInput::AfterWhatCame => true,
            EndInput::WhenIdle(time) => {
                let since = *self.waits_since.get_or_insert_with(Instant::now);
                self.alarm.poll(later(since, time), cx)
            }
        }
    }
}

impl<Io> fmt::Debug for Input<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("how", &self.how).field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        net::{TcpListener, TcpStream},
        task::JoinHandle,
        time::sleep,
    };

    use super::{
        super::{Drain, Policy, Report, Times, Tracked},
        *,
    };
    use crate::generation::Cause;

    const SECOND: Duration = Duration::from_secs(1);

    fn begin(drain: &Drain) -> JoinHandle<Report> {
        drain.begin(Cause::Stopped { by: None }, &Times::for_stop());
        tokio::spawn(drain.ended())
    }

    fn tracked(drain: &Drain, how: EndInput) -> (DuplexStream, Tracked<DuplexStream>) {
        let (client, server) = duplex(1024);
        (client, drain.tracker().track(server).end_input(how))
    }

    /// What is read until the end, which takes as long as that.
    fn reading<Io>(mut io: Tracked<Io>) -> JoinHandle<(String, Duration)>
    where
        Io: AsyncRead + Unpin + Send + 'static,
    {
        let (began, mut read) = (Instant::now(), String::new());
        tokio::spawn(async move {
            io.read_to_string(&mut read).await.unwrap();
            (read, began.elapsed())
        })
    }

    #[tokio::test(start_paused = true)]
    async fn after_what_came_a_read_that_waits_ends_when_the_drain_begins() {
        let drain = Drain::new();
        let (mut client, server) = tracked(&drain, EndInput::AfterWhatCame);
        let reading = reading(server);
        client.write_all(b"hello").await.unwrap();
        sleep(SECOND * 7).await;
        let report = begin(&drain);
        assert_eq!(reading.await.unwrap(), ("hello".to_owned(), SECOND * 7));
        assert_eq!((report.await.unwrap().took(), client.write(b"late").await.is_err()), (Duration::ZERO, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_is_read_also_after_the_beginning() {
        let drain = Drain::new();
        let (mut client, mut server) = tracked(&drain, EndInput::AfterWhatCame);
        client.write_all(b"hello").await.unwrap();
        let _report = begin(&drain);
        sleep(SECOND).await;
        let mut word = [0; 3];
        assert_eq!(server.read(&mut word).await.unwrap(), 3);
        assert_eq!(server.read(&mut word).await.unwrap(), 2);
        assert_eq!(server.read(&mut word).await.unwrap(), 0);
        client.write_all(b"late").await.unwrap();
        assert_eq!(server.read(&mut word).await.unwrap(), 0, "an end is an end");
        server.write_all(b"answer").await.unwrap();
    }

    /// More than a task's budget of reads.
    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_up_its_budget_is_not_at_the_end() {
        let drain = Drain::new();
        let (mut client, mut server) = tracked(&drain, EndInput::AfterWhatCame);
        client.write_all(&[b'x'; 1024]).await.unwrap();
        let _report = begin(&drain);
        let reading = tokio::spawn(async move {
            let mut count = 0;
            while server.read(&mut [0; 1]).await.unwrap() > 0 {
                count += 1;
            }
            count
        });
        assert_eq!(reading.await.unwrap(), 1024);
    }

    #[tokio::test]
    async fn what_lies_in_the_kernel_is_read_although_the_reactor_has_not_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let drain = Drain::new();
        let mut server = drain.tracker().track(accepted.unwrap().0).end_input(EndInput::AfterWhatCame);
        let client = client.unwrap().into_std().unwrap();
        drain.begin(Cause::Stopped { by: None }, &Times::for_stop());
        // No await between the two.
        io::Write::write_all(&mut &client, b"hello").unwrap();
        let mut read = String::new();
        server.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "hello");
    }

    #[tokio::test(start_paused = true)]
    async fn when_idle_the_end_comes_in_a_pause() {
        let drain = Drain::new();
        let (mut client, server) = tracked(&drain, EndInput::WhenIdle(SECOND * 2));
        let reading = reading(server);
        sleep(SECOND * 100).await;
        let _report = begin(&drain);
        for _ in 0..3 {
            sleep(SECOND).await;
            client.write_all(b"x").await.unwrap();
        }
        assert_eq!(reading.await.unwrap(), ("xxx".to_owned(), SECOND * 105));
    }

    #[tokio::test(start_paused = true)]
    async fn when_idle_the_time_in_which_a_request_is_answered_is_no_pause() {
        let drain = Drain::new();
        let (mut client, mut server) = tracked(&drain, EndInput::WhenIdle(SECOND * 2));
        let _report = begin(&drain);
        let serving = tokio::spawn(async move {
            let (mut request, mut served) = ([0; 8], 0);
            while server.read(&mut request).await.unwrap() > 0 {
                sleep(SECOND * 3).await;
                server.write_all(b"answer").await.unwrap();
                served += 1;
            }
            served
        });
        for _ in 0..3 {
            client.write_all(b"request").await.unwrap();
            client.read_exact(&mut [0; 6]).await.unwrap();
            sleep(SECOND).await;
        }
        assert_eq!(serving.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_into_no_space_is_not_the_end() {
        let drain = Drain::new();
        let (mut client, mut server) = tracked(&drain, EndInput::AfterWhatCame);
        let _report = begin(&drain);
        assert_eq!(server.read(&mut []).await.unwrap(), 0);
        client.write_all(b"hello").await.unwrap();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_raw_connection_ends_when_its_policy_says() {
        for (policy, after) in [(Policy::CloseNow, 0), (Policy::CloseAfter(SECOND * 3), 3), (Policy::Finish, 20)] {
            let drain = Drain::new();
            let (_client, server) = duplex(16);
            let (mut reader, mut writer) = tokio::io::split(drain.tracker().track(server).policy(policy));
            let reading = tokio::spawn(async move { reader.read(&mut [0; 8]).await.map_err(|error| error.kind()) });
            let writing = tokio::spawn(async move { writer.write_all(&[0; 64]).await.map_err(|error| error.kind()) });
            sleep(SECOND).await;
            let report = begin(&drain);
            assert_eq!(reading.await.unwrap(), Err(io::ErrorKind::ConnectionAborted));
            assert_eq!(writing.await.unwrap(), Err(io::ErrorKind::ConnectionAborted));
            let report = report.await.unwrap();
            assert_eq!((report.took(), report.cut()), (SECOND * after, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_waits_for_the_clients_end_for_5_seconds_and_within_the_deadline() {
        for (until_close, took) in [(0, 5), (18, 2)] {
            let drain = Drain::new();
            let (client, server) = duplex(64);
            let mut server = drain.tracker().track(server);
            let report = begin(&drain);
            sleep(SECOND * until_close).await;
            server.write_all(b"bye").await.unwrap();
            let began = Instant::now();
            server.close().await.unwrap();
            assert_eq!(began.elapsed(), SECOND * took);
            let (mut said, mut client) = (String::new(), client);
            client.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "bye");
            assert_eq!(report.await.unwrap().cut(), 0, "everything was said");
        }
    }

    #[tokio::test]
    async fn an_answer_survives_what_is_still_unread_when_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (mut client, drain) = (client.unwrap(), Drain::new());
        let mut server = drain.tracker().track(accepted.unwrap().0);
        client.write_all(&[0; 100_000]).await.unwrap();
        let answer = vec![b'x'; 300_000];
        let closing = tokio::spawn(async move {
            server.write_all(&answer).await?;
            server.close().await
        });
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        drop(client);
        closing.await.unwrap().unwrap();
        assert_eq!(read.len(), 300_000);
        assert!(drain.tracker().is_empty());
    }
}
