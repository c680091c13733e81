//! The faults, and a backend that has one of them between `begin` and `end`.

use lb_testkit::{Answer, Backend, Gate, Received, Reply, Step, Switch};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// What a backend does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody listens at its port.
    Refuses,
    /// Resets each connection as soon as it is accepted.
    ResetsOnAccept,
    /// Reads the request and resets.
    ResetsBeforeAnswer,
    /// Sends the head of a response and resets.
    ResetsAfterHead,
    /// Accepts and reads nothing.
    NeverReads,
    /// Reads and says nothing.
    NeverAnswers,
    /// Answers long after everybody has lost patience: "in 10 s", without the wait.
    AnswersLate,
    /// Answers, but slowly.
    AnswersSlowly,
    /// Status 500 at once.
    Fails,
    /// Status 503 with `Retry-After`, before the request's body was read.
    Unavailable,
    /// Promises a length, sends half and closes.
    HalfBody,
    /// The same in chunks.
    HalfChunked,
    /// Closes each connection when the next request's first byte comes.
    ClosesIdle,
    /// Each second request fails.
    FlapsByRequest,
    /// Dead for a second, alive for a second.
    FlapsBySecond,
    /// Something that is not HTTP.
    Garbage,
    /// Another protocol listens there, and speaks first.
    Greets,
    /// A response whose head is larger than the proxy takes.
    HugeHead,
    /// A response with `Content-Length` and `Transfer-Encoding`.
    TwoLengths,
    /// HTTP/1.0 without a length: the body ends with the connection. Old-fashioned, and no fault.
    NoLength,
}

/// Above the 256 KiB that the proxy takes as the head of a response.
const HUGE: usize = 300 << 10;

/// How long a slow answer takes; see `Mechanism::SlowCalls`.
const SLOW: Duration = Duration::from_millis(400);

impl Fault {
    /// As the summary calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Refuses => "refuses connections",
            Self::ResetsOnAccept => "resets after accept",
            Self::ResetsBeforeAnswer => "resets before the answer",
            Self::ResetsAfterHead => "resets after the head",
            Self::NeverReads => "accepts, never reads",
            Self::NeverAnswers => "reads, never answers",
            Self::AnswersLate => "answers in 10 s",
            Self::AnswersSlowly => "answers slowly",
            Self::Fails => "500 at once, /health passes",
            Self::Unavailable => "503 with Retry-After",
            Self::HalfBody => "half a body (length)",
            Self::HalfChunked => "half a body (chunked)",
            Self::ClosesIdle => "closes idle connections",
            Self::FlapsByRequest => "flaps each request",
            Self::FlapsBySecond => "flaps every second",
            Self::Garbage => "garbage for HTTP",
            Self::Greets => "another protocol",
            Self::HugeHead => "too large a head",
            Self::TwoLengths => "two lengths",
            Self::NoLength => "HTTP/1.0, no length",
        }
    }

    /// Does it break a response that has begun? Then the client must see that it is cut.
    pub(super) fn may_cut(self) -> bool {
        matches!(self, Self::ResetsAfterHead | Self::HalfBody | Self::HalfChunked)
    }

    /// Does every GET succeed at the first backend all the same?
    pub(super) fn spares_gets(self) -> bool {
        matches!(self, Self::ClosesIdle | Self::NoLength)
    }

    /// What becomes of POSTs that meet it. Where nothing of a POST was sent, another backend gets it; otherwise its client is told.
    pub(super) fn posts(self) -> &'static [&'static str] {
        match self {
            Self::Refuses | Self::FlapsBySecond => &["200", "502"],
            Self::AnswersSlowly | Self::NoLength => &["200"],
            Self::Fails | Self::FlapsByRequest => &["200", "500"],
            Self::Unavailable => &["200", "503"],
            // It begins with the death of the old connections.
            Self::NeverReads => &["200", "502", "504"],
            Self::NeverAnswers | Self::AnswersLate => &["200", "504"],
            Self::ResetsAfterHead => &["200", "502", "cut"],
            Self::HalfBody | Self::HalfChunked => &["200", "cut"],
            _ => &["200", "502"],
        }
    }

    /// Does it begin with new connections, so that the old ones have to go?
    fn is_of_connections(self) -> bool {
        matches!(self, Self::ResetsOnAccept | Self::NeverReads | Self::Greets)
    }

    fn reply(self, request: &Received, nth: usize, over: &Gate) -> Reply {
        let target = &request.head.target;
        let full = right_body(target);
        let half = &full[..full.len() / 2];
        let head = |rest: &str| format!("HTTP/1.1 200 OK\r\nX-Served-By: bad\r\n{rest}\r\n\r\n");
        let length = format!("Content-Length: {}", full.len());
        match self {
            // Those are of connections, not of requests.
            Self::Refuses | Self::FlapsBySecond | Self::ResetsOnAccept | Self::NeverReads | Self::Greets => {
                good(request)
            }
            Self::ResetsBeforeAnswer => Reply::steps([Step::Reset]),
            Self::ResetsAfterHead => Reply::raw(head(&length)).then(Step::Reset),
            Self::NeverAnswers => Reply::steps([Step::Hang]),
            Self::AnswersLate => good(request).after(Step::Wait(over.clone())),
            Self::AnswersSlowly => good(request).after(Step::Pause(SLOW)),
            Self::FlapsByRequest if nth % 2 == 1 => good(request),
            Self::Fails | Self::FlapsByRequest => Reply::answer(Answer::new(500).body("no")),
            Self::Unavailable => {
                Reply::answer(Answer::new(503).header("Retry-After", "30").body("later")).early()
            }
            Self::HalfBody => Reply::raw(head(&length) + half).then(Step::Close),
            Self::HalfChunked => {
                let chunk = format!("{:x}\r\n{full}\r\n{:x}\r\n{half}", full.len(), full.len());
                Reply::raw(head("Transfer-Encoding: chunked") + &chunk).then(Step::Close)
            }
            Self::ClosesIdle => good(request).then(Step::AwaitNextByte).then(Step::Close),
            Self::Garbage => Reply::raw("\x16\x03\x01 what is this?\r\n\r\n").then(Step::Close),
            Self::HugeHead => Reply::raw(head(&format!("X-Huge: {}", "x".repeat(HUGE)))).then(Step::Close),
            Self::TwoLengths => Reply::raw(head(&format!("{length}\r\nTransfer-Encoding: chunked")) + &full),
            Self::NoLength => {
                let head = "HTTP/1.0 200 OK\r\nX-Served-By: bad\r\n\r\n".to_owned();
                Reply::raw(head + &full).then(Step::Close)
            }
        }
    }
}

/// The body that belongs to a target: a response of another request would be noticed.
pub(super) fn right_body(target: &str) -> String {
    format!("what {target} asked for, and some more, so that it can be cut in two")
}

/// The right answer to a request, also to a health check.
fn good(request: &Received) -> Reply {
    Reply::ok(right_body(&request.head.target))
}

/// A backend without faults.
pub(super) fn healthy(id: &str) -> Backend {
    Backend::with(id, good)
}

/// A backend that is as good as any until its fault begins.
pub(super) struct Bad {
    pub(super) backend: Backend,
    fault: Fault,
    on: Switch,
    over: Gate,
}

impl Bad {
    /// Named `bad`; see [`named`](Self::named).
    pub(super) fn start(fault: Fault, spares_checks: bool) -> Self {
        Self::named("bad", fault, spares_checks)
    }

    /// `spares_checks`: what asks for `/health` gets its answer also while the fault lasts, if it can be asked at all.
    pub(super) fn named(id: &str, fault: Fault, spares_checks: bool) -> Self {
        let (on, over, asked) = (Switch::new(), Gate::new(), AtomicUsize::new(0));
        let (is_on, held, greets, holds) = (on.clone(), over.clone(), on.clone(), over.clone());
        let backend = Backend::builder(id).on_request(move |request| {
            if !is_on.is_on() || (spares_checks && request.head.target == "/health") {
                return good(request);
            }
            fault.reply(request, asked.fetch_add(1, SeqCst), &held)
        });
        let backend = backend.on_connect(move |_| match fault {
            Fault::ResetsOnAccept if greets.is_on() => Some(vec![Step::Reset]),
            Fault::NeverReads if greets.is_on() => Some(vec![Step::Wait(holds.clone())]),
            Fault::Greets if greets.is_on() => Some(vec![Step::Send(b"SSH-2.0-OpenSSH_9.9\r\n".into())]),
            _ => None,
        });
        Self { backend: backend.start(), fault, on, over }
    }

    /// From now on it misbehaves.
    pub(super) fn begin(&self) {
        let dies = matches!(self.fault, Fault::Refuses | Fault::FlapsBySecond);
        if dies || self.fault.is_of_connections() {
            self.backend.kill();
        }
        self.on.on();
        if !dies {
            self.backend.revive();
        }
    }

    /// What takes a time of its own: to flap.
    pub(super) fn go_on(&self) {
        if self.fault == Fault::FlapsBySecond {
            for _ in 0..2 {
                self.backend.revive();
                thread::sleep(Duration::from_secs(1)); // tidy-allow: sleep: the fault itself
                self.backend.kill();
                thread::sleep(Duration::from_secs(1)); // tidy-allow: sleep: the fault itself
            }
        }
    }

    /// From now on it is as good as any.
    pub(super) fn end(&self) {
        self.on.off();
        self.over.open();
        self.backend.revive();
    }
}
