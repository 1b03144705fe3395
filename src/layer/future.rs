use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use pin_project_lite::pin_project;

use super::DrainBody;
use crate::{
    asked::{Asked, tell},
    drain::Flight,
};

pin_project! {
    /// The response of a [`DrainService`](super::DrainService) in the making.
    pub struct DrainFuture<F> {
        #[pin]
        answer: Answer<F>,
        asked: Asked,
    }
}

pin_project! {
    #[project = Answering]
    enum Answer<F> {
        OfInner {
            // First, so that what it holds is gone before it counts as ended.
            #[pin]
            future: F,
            // Until it goes on with the body.
            flight: Option<Flight>,
        },
        Refusal {
            seconds: u64,
        },
    }
}

impl<F> DrainFuture<F> {
    pub(super) fn new(future: F, asked: Asked, flight: Flight) -> Self {
        Self { answer: Answer::OfInner { future, flight: Some(flight) }, asked }
    }

    pub(super) fn refuse(asked: Asked, seconds: u64) -> Self {
        Self { answer: Answer::Refusal { seconds }, asked }
    }
}

impl<F, B, E> Future for DrainFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<DrainBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (future, flight) = match this.answer.project() {
            Answering::OfInner { future, flight } => (future, flight),
            Answering::Refusal { seconds } => return Poll::Ready(Ok(refusal(*this.asked, *seconds))),
        };
        let answer = ready!(future.poll(cx));
        let mut flight = flight.take();
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => {
                if let Some(flight) = flight {
                    flight.end();
                }
                return Poll::Ready(Err(error));
            }
        };
        // First whether it can be told: turns are spread evenly only where none is taken in vain.
        if let Some(flight) = flight.as_mut().filter(|_| this.asked.can_be_told(response.status())) {
            if flight.tells() {
                tell(response.headers_mut());
                flight.is_told();
            }
        }
        Poll::Ready(Ok(response.map(|body| DrainBody::new(body, flight))))
    }
}

fn refusal<B>(asked: Asked, seconds: u64) -> Response<DrainBody<B>> {
    let mut response = Response::new(DrainBody::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    if asked.can_be_told(StatusCode::SERVICE_UNAVAILABLE) {
        // Whatever its turn: on this connection it would only hear the same again.
        tell(response.headers_mut());
    }
    response
}

impl<F: fmt::Debug> fmt::Debug for DrainFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            Answer::OfInner { future, .. } => f.debug_tuple("DrainFuture").field(future).finish(),
            Answer::Refusal { .. } => f.write_str("DrainFuture(refused)"),
        }
    }
}
