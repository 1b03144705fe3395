use std::{convert::Infallible, error, fmt};

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::drain::Watch;

/// Nobody has put a [`Watch`] into the request's extensions. A mistake of the program's, so the client is told 500.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NoWatch;

/// From the request's extensions, where [`DrainLayer`](crate::layer::DrainLayer) puts it, or
/// `axum::Extension(graceful.watch())`. One of these has to be there, under `Graceful::serve` as well.
impl<S: Sync> FromRequestParts<S> for Watch {
    type Rejection = NoWatch;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoWatch> {
        parts.extensions.get().cloned().ok_or(NoWatch)
    }
}

/// `None` where nobody has put one there.
impl<S: Sync> OptionalFromRequestParts<S> for Watch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

impl fmt::Display for NoWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this request has no `drain::Watch`: add `.layer(graceful.layer())`, or \
             `.layer(Extension(graceful.watch()))`, to the router",
        )
    }
}

impl error::Error for NoWatch {}

impl IntoResponse for NoWatch {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
