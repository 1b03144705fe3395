use std::{
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::{Buf, Bytes, Incoming},
    service::Service,
};
use pin_project_lite::pin_project;

use super::http2::{Live, Streams, Termed};
use crate::drain::Policy;

/// Counts an HTTP/2 stream until the last byte of its answer is sent.
///
/// hyper's task of a stream ends when it has given the whole body to h2, and h2 keeps what the client's window does not
/// take yet: all but 64 KiB of a download that the handler answers in one piece. Counted by its task alone, a client
/// that reads slowly would idle, and be let go in the midst of it.
pub(super) struct Counted<S> {
    service: S,
    streams: Arc<Streams>,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, streams: Arc<Streams>) -> Self {
        Self { service, streams }
    }
}

impl<S, B> Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = CountedFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.streams.begin();
        CountedFuture { future: self.service.call(request), streams: self.streams.clone() }
    }
}

pin_project! {
    pub(super) struct CountedFuture<F> {
        #[pin]
        future: F,
        streams: Arc<Streams>,
    }
}

impl<F, B, E> Future for CountedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<CountedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?;
        let policy = this.streams.policy_of(&response);
        let termed = (policy != Policy::Finish).then(|| this.streams.enter(policy, cx.waker()));
        Poll::Ready(Ok(response.map(|body| CountedBody { body, streams: this.streams.clone(), _termed: termed })))
    }
}

pin_project! {
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        streams: Arc<Streams>,
        _termed: Option<Termed>,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = CountedData<B::Data>;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let counted = |data| CountedData { data, _live: Live::new(this.streams.clone()) };
        this.body.poll_frame(cx).map_ok(|frame| frame.map_data(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// h2 drops it when it has written the last of it.
pub(super) struct CountedData<D> {
    data: D,
    _live: Live,
}

impl<D: Buf> Buf for CountedData<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(to)
    }

    fn advance(&mut self, by: usize) {
        self.data.advance(by);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.data.copy_to_bytes(length)
    }
}
