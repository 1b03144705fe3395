use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header::CONNECTION};
use http_body::Body;
use hyper::{body::Incoming, service::Service, upgrade::OnUpgrade};
use pin_project_lite::pin_project;

use super::{Handler, link::Link, policy::policy_of};
use crate::drain::{Outcome, Policy};

/// Tells the client: from its turn in this generation's end on, each HTTP/1 response bears `connection: close`.
///
/// So the client's next request goes to a new connection, which the successor accepts, and this one ends with its last
/// response: no request is on its way when it does. hyper's own `graceful_shutdown` is no use for it: it cuts an idle
/// connection at once, and loses the request that is just arriving.
pub(super) struct Herald<S> {
    handler: S,
    link: Arc<Link>,
}

impl<S> Herald<S> {
    pub(super) fn new(handler: S, link: Arc<Link>) -> Self {
        Self { handler, link }
    }
}

impl<S: Handler> Service<Request<Incoming>> for Herald<S> {
    type Response = Response<S::Body>;
    type Error = S::Error;
    type Future = Heralded<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.extensions().get::<OnUpgrade>().is_some() {
            self.link.offer_upgrade();
        }
        let asked = match (request.version(), request.method()) {
            (Version::HTTP_2, _) => Asked::Stream,
            (_, &Method::CONNECT) => Asked::Tunnel,
            _ => Asked::Request,
        };
        if !matches!(asked, Asked::Stream) {
            self.link.has_head();
        }
        Heralded { asked, future: self.handler.call(request), link: self.link.clone() }
    }
}

pin_project! {
    pub(super) struct Heralded<F> {
        asked: Asked,
        #[pin]
        future: F,
        link: Arc<Link>,
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Request,
    Tunnel,
    /// HTTP/2: its connection is told as a whole, by a GOAWAY.
    Stream,
}

impl<F, B, E> Future for Heralded<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx))?;
        let upgrades = match this.asked {
            Asked::Stream => return Poll::Ready(Ok(response)),
            Asked::Tunnel => response.status().is_success(),
            Asked::Request => response.status() == StatusCode::SWITCHING_PROTOCOLS,
        };
        let policy = policy_of(&response, upgrades, this.link.settings.policy);
        if policy != Policy::Finish {
            this.link.set_policy(policy);
        }
        if upgrades {
            // Here, and not when hyper passes the transport on: its new owner may use it before we hear of that.
            this.link.upgrade();
        } else if this.link.watch.tells(this.link.guard().turn()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            this.link.guard().set_outcome(Outcome::Told);
        }
        Poll::Ready(Ok(response))
    }
}
