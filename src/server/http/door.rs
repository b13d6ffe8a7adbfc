//! Where hyper brings requests, and what it gets: an answer, or the promise of one.
//!
//! What is asked, and what of it is allowed, is in `connection`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper::{Method, Request};

use super::answer::{Answer, Body};
use super::connection::{AtOnce, Connection};
use super::pulse::Busy;
use super::v1;

/// Where hyper brings requests.
pub(super) struct Door(pub(super) Arc<Connection>);

/// An answer, or the promise of one. Most are there at once; then nothing is put into a box, nor moved
/// about with room for all that others need.
pub(super) enum Answering {
    Now(Option<Answer>),
    Later(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl Future for Answering {
    type Output = Result<Answer, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            // Nobody polls again behind the end.
            Answering::Now(answer) => answer.take().map_or(Poll::Pending, |it| Poll::Ready(Ok(it))),
            Answering::Later(answer) => answer.as_mut().poll(cx).map(Ok),
        }
    }
}

impl Service<Request<Incoming>> for Door {
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let (head, body) = request.into_parts();
        let only_reads = matches!(head.method, Method::GET | Method::HEAD)
            && body.is_end_stream()
            && !v1::may_pause(head.uri.path())
            && self.0.turn_is_open();
        if !only_reads {
            let (connection, busy) = (self.0.clone(), self.0.pulse.busy());
            return Answering::Later(Box::pin(async move {
                let answer = connection.answer(head, body).await;
                until_its_end(answer, busy)
            }));
        }
        let (answer, AtOnce { seen, ended_ns }) = self.0.answer_at_once(&head);
        if self.0.has_passed(seen) {
            let answer = match answer.body() {
                Body::Whole(_) => {
                    self.0.pulse.answered(ended_ns);
                    answer
                }
                Body::Pieces(..) => until_its_end(answer, self.0.pulse.busy()),
            };
            return Answering::Now(Some(answer));
        }
        let (connection, busy) = (self.0.clone(), self.0.pulse.busy());
        Answering::Later(Box::pin(async move {
            let passed = std::future::poll_fn(|cx| connection.poll_passed(seen, cx)).await;
            let answer = match passed {
                Ok(()) => answer,
                Err(failed) => connection.refused(&head, failed),
            };
            until_its_end(answer, busy)
        }))
    }
}

/// What is made while it is sent keeps its connection busy for so long.
fn until_its_end(mut answer: Answer, busy: Busy) -> Answer {
    if let Body::Pieces(_, until) = answer.body_mut() {
        *until = Some(busy);
    }
    answer
}
