//! The service of [`LoadBalanceLayer`](crate::LoadBalanceLayer): one request's way.
//!
//! ```text
//! request ─► skipped? ─► look ─► admit ─► acquire ─► inner service ─► headers, lease into the body
//!                │ yes            │ no      │ not at once: wait, boxed
//!                ▼                ▼         ▼
//!           inner service        503       acquire, or 503
//! ```
//!
//! A request whose backend is known at once, as nearly all are, costs no box and no clone of the inner service. One that has to wait
//! keeps the inner service that was ready.

use super::body::BalancedBody;
use super::layer::Shared;
use super::ticket::{Ticket, is_head};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use lb_balancer::{AdmissionError, SelectOptions, Selection};
use lb_core::{Lease, SelectError};
use pin_project_lite::pin_project;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// A service behind a [`LoadBalanceLayer`](crate::LoadBalanceLayer).
#[derive(Clone, Debug)]
pub struct LoadBalance<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> LoadBalance<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

/// How far a request has come that does not get its backend at once.
enum Stage {
    /// Somebody has to be asked where this client is.
    Locate(Option<IpAddr>),
    /// The store has to be asked.
    LookUp(Selection),
    /// There is no backend now.
    Wait(Selection, SelectError),
    /// Nodes have to agree on its session.
    Agree(Selection, Lease),
}

/// What is decided at once.
enum First {
    Ticket(Ticket),
    Later(Stage),
    Refused(AdmissionError, usize),
}

impl Shared {
    /// All that can be done without waiting.
    fn first(self: &Arc<Self>, parts: &Parts) -> First {
        let (lb, ip) = (&self.balancer, self.client_ip(parts));
        if lb.must_locate(ip) {
            return First::Later(Stage::Locate(ip));
        }
        let mut selection = self.selection(parts, ip, &mut SelectOptions::default());
        if let Err(shed) = lb.admit(&selection) {
            return First::Refused(AdmissionError::Shed(shed), selection.leaf());
        }
        if lb.must_look_up(&selection) {
            return First::Later(Stage::LookUp(selection));
        }
        match lb.acquire(&mut selection) {
            Ok(lease) if lb.must_agree(&selection) => First::Later(Stage::Agree(selection, lease)),
            Ok(lease) => First::Ticket(Ticket::new(self, &selection, lease, is_head(&parts.method))),
            Err(error) => First::Later(Stage::Wait(selection, error)),
        }
    }

    /// The rest.
    async fn later(self: &Arc<Self>, parts: &Parts, stage: Stage) -> Result<Ticket, (AdmissionError, usize)> {
        let lb = &self.balancer;
        let (mut selection, known) = match stage {
            Stage::Wait(selection, error) => (selection, Some(Err(error))),
            Stage::Agree(selection, lease) => (selection, Some(Ok(lease))),
            Stage::LookUp(selection) => (selection, None),
            Stage::Locate(ip) => {
                let mut options = SelectOptions::default();
                if let Some(ip) = ip {
                    options.location = lb.locate(ip).await;
                }
                let selection = self.selection(parts, ip, &mut options);
                if let Err(shed) = lb.admit(&selection) {
                    return Err((AdmissionError::Shed(shed), selection.leaf()));
                }
                (selection, None)
            }
        };
        let first = match known {
            Some(first) => first,
            None => {
                if lb.must_look_up(&selection) {
                    lb.look_up(&mut selection).await;
                }
                lb.acquire(&mut selection)
            }
        };
        let mut lease = match first {
            Ok(lease) => lease,
            Err(error) => {
                let waited = if lb.may_wait(&selection, &error) {
                    lb.wait_in_line(&mut selection, None).await
                } else {
                    lb.acquire_async(&mut selection).await.map_err(AdmissionError::Select)
                };
                waited.map_err(|error| (error, selection.leaf()))?
            }
        };
        if lb.must_agree(&selection) {
            lease = lb.agree(&mut selection, lease).await;
        }
        Ok(Ticket::new(self, &selection, lease, is_head(&parts.method)))
    }
}

impl<S, B, R> Service<Request<B>> for LoadBalance<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<BalancedBody<R>>;
    type Error = S::Error;
    type Future = BalanceFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> BalanceFuture<S, B> {
        let (mut parts, body) = request.into_parts();
        let shared = &self.shared;
        if shared.is_skipped(&parts) {
            let call = self.inner.call(Request::from_parts(parts, body));
            return BalanceFuture { state: State::Calling { call, ticket: None } };
        }
        let state = match shared.first(&parts) {
            First::Ticket(ticket) => {
                shared.strip(&mut parts);
                ticket.mark(&mut parts);
                let call = self.inner.call(Request::from_parts(parts, body));
                State::Calling { call, ticket: Some(ticket) }
            }
            First::Refused(error, leaf) => {
                State::Refused { response: Some(shared.refusal(&error, leaf, &parts)) }
            }
            First::Later(stage) => {
                let shared = shared.clone();
                let wait = Box::pin(async move {
                    match shared.later(&parts, stage).await {
                        Ok(ticket) => {
                            shared.strip(&mut parts);
                            ticket.mark(&mut parts);
                            Ok((parts, ticket))
                        }
                        Err((error, leaf)) => Err(shared.refusal(&error, leaf, &parts)),
                    }
                });
                // The one that is ready goes with the request; a clone of it takes its place.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                State::Waiting { wait, ready: Some((ready, body)) }
            }
        };
        BalanceFuture { state }
    }
}

/// A request that waits, until it has its backend or the answer in its place.
type Waiting = Pin<Box<dyn Future<Output = Result<(Parts, Ticket), Response<Bytes>>> + Send>>;

pin_project! {
    /// The response of a [`LoadBalance`] to come.
    pub struct BalanceFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<S, B, F> {
        Waiting { wait: Waiting, ready: Option<(S, B)> },
        Calling { #[pin] call: F, ticket: Option<Ticket> },
        Refused { response: Option<Response<Bytes>> },
    }
}

impl<S, B, R> Future for BalanceFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<BalancedBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const AGAIN: &str = "a future is not polled after it has ended";
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjected::Waiting { wait, ready } => match ready!(wait.as_mut().poll(cx)) {
                    Ok((parts, ticket)) => {
                        let (mut service, body) = ready.take().expect(AGAIN);
                        let call = service.call(Request::from_parts(parts, body));
                        State::Calling { call, ticket: Some(ticket) }
                    }
                    Err(response) => State::Refused { response: Some(response) },
                },
                StateProjected::Calling { call, ticket } => {
                    let called = ready!(call.poll(cx));
                    return Poll::Ready(match (called, ticket.take()) {
                        (Ok(response), Some(ticket)) => Ok(ticket.answer(response)),
                        (Ok(response), None) => Ok(response.map(BalancedBody::untouched)),
                        (Err(error), ticket) => {
                            if let Some(ticket) = ticket {
                                ticket.failed();
                            }
                            Err(error)
                        }
                    });
                }
                StateProjected::Refused { response } => {
                    return Poll::Ready(Ok(response.take().expect(AGAIN).map(BalancedBody::own)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Request<B>>, B> std::fmt::Debug for BalanceFuture<S, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BalanceFuture")
    }
}
