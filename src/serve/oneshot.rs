use std::{
    pin::Pin,
    task::{Context, Poll, ready},
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
        Asked { service: S, request: Option<Request<Incoming>> },
        Called { #[pin] future: S::Future },
    }
}

impl<S: Service<Request<Incoming>>> Oneshot<S> {
    pub(super) fn new(service: S, request: Request<Incoming>) -> Self {
        Self { state: State::Asked { service, request: Some(request) } }
    }
}

impl<S: Service<Request<Incoming>>> Future for Oneshot<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let future = match state.as_mut().project() {
                Projected::Called { future } => return future.poll(cx),
                Projected::Asked { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    service.call(request.take().expect("the state changes with the call"))
                }
            };
            state.set(State::Called { future });
        }
    }
}
