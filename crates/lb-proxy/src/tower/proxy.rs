//! The proxy as a `tower` service.

use crate::body::ProxyBody;
use crate::engine::RequestBody;
use crate::proxy::{Client, ClientAddr, ClientLimits, Proxy};
use http::{Request, Response};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a client may send nothing of a body it owes, where the server around this service says nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

impl<B: RequestBody> Proxy<B> {
    /// Answers a request: always with a response, be it one of the proxy's own. The client's address is the [`ClientAddr`] in the
    /// request's extensions; it is looked up among the trusted proxies, if there are any. Must be called within a tokio runtime.
    pub async fn call(&self, request: Request<B>) -> Response<ProxyBody<B>> {
        let ip = request.extensions().get::<ClientAddr>().map(|a| a.0.ip());
        let trusted = self.worker().trusted.as_ref();
        let limits = ClientLimits::timeouts(BODY_TIMEOUT, Duration::MAX);
        let client = Client::new(ip, trusted, limits.into());
        let watch = self.worker().timer.watch(false);
        let response = self.handle(request, &client, &watch.0).await;
        response.map(|body| body.keeping(watch))
    }
}

impl<B: RequestBody> tower_service::Service<Request<B>> for Proxy<B> {
    type Response = Response<ProxyBody<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let proxy = self.clone();
        Box::pin(async move { Ok(Self::call(&proxy, request).await) })
    }
}
