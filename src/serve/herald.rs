use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, Version, header::CONTENT_LENGTH};
use http_body::Body;
use hyper::{body::Incoming, service::Service, upgrade::OnUpgrade};
use pin_project_lite::pin_project;

use super::{Handler, hand_over, link::Link, policy::policy_of};
use crate::{
    asked::{Asked, tell},
    drain::{Outcome, Policy},
};

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

    pub(super) fn into_handler(self) -> S {
        self.handler
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
        let (asked, version) = (Asked::of(&request), request.version());
        if asked != Asked::Stream {
            self.link.has_head();
            if self.link.is_leaving() {
                self.link.set_body(&request.body().size_hint());
            }
            if version < Version::HTTP_11 {
                self.link.stay();
            }
        }
        Heralded { asked, version, future: self.handler.call(request), link: self.link.clone() }
    }
}

pin_project! {
    pub(super) struct Heralded<F> {
        asked: Asked,
        version: Version,
        #[pin]
        future: F,
        link: Arc<Link>,
    }
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
        if *this.asked == Asked::Stream {
            return Poll::Ready(Ok(response));
        }
        let upgrades = this.asked.upgrades(response.status());
        let policy = policy_of(&response, upgrades, this.link.settings.policy, &this.link.watch);
        if policy != Policy::Finish {
            this.link.set_policy(policy);
        }
        if upgrades {
            // Here, and not when hyper passes the transport on: its new owner may use it before we hear of that.
            this.link.answer_upgrade();
            return Poll::Ready(Ok(response));
        }
        if ends_by_close(&response, *this.version) {
            this.link.set_ends_by_close();
        }
        if hand_over::keeps(&response) {
            this.link.stay();
        }
        // Whoever moves to the successor is not to come back to it by another connection.
        if this.link.watch.tells(this.link.guard().turn()) && !this.link.may_leave() {
            tell(response.headers_mut());
            this.link.guard().set_outcome(Outcome::Told);
        }
        Poll::Ready(Ok(response))
    }
}

/// Whether nothing but the connection's end says that this answer is complete: HTTP/1.0 has no chunks.
fn ends_by_close<B: Body>(response: &Response<B>, version: Version) -> bool {
    version.min(response.version()) < Version::HTTP_11
        && response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(CONTENT_LENGTH)
}
