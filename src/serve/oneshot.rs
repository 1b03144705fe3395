use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use http::Request;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// One request to a tower service: waits until it is ready, then for its answer.
    #[allow(missing_debug_implementations)]
    pub struct Oneshot<S: Service<Request<Incoming>>> {
        #[pin]
        state: State<S>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<S: Service<Request<Incoming>>> {
        Asked { asked: Option<Box<(S, Request<Incoming>)>> },
        Called { #[pin] future: S::Future },
    }
}

impl<S: Service<Request<Incoming>>> Oneshot<S> {
    pub(super) fn new(mut service: S, request: Request<Incoming>) -> Self {
        // Asked at once, for nearly every service is always ready. One that is not is asked again in its own task, and boxed:
        // hyper moves this future about.
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called { future: service.call(request) },
            _ => State::Asked { asked: Some(Box::new((service, request))) },
        };
        Self { state }
    }
}

impl<S: Service<Request<Incoming>>> Future for Oneshot<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let future = match state.as_mut().project() {
                Projected::Called { future } => return future.poll(cx),
                Projected::Asked { asked } => {
                    let (service, _) = &mut **asked.as_mut().expect("the state changes with the call");
                    ready!(service.poll_ready(cx))?;
                    let (mut service, request) = *asked.take().expect("the state changes with the call");
                    service.call(request)
                }
            };
            state.set(State::Called { future });
        }
    }
}
