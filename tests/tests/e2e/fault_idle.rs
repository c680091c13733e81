//! What a backend says while nobody has asked it is nobody's answer.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Answer, Backend, Client, Reply, Step, eventually};

/// How the backend says what nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// In one piece with its answer.
    AtOnce,
    /// After it.
    Then,
    /// After it, and closes.
    ThenCloses,
}

fn bytes(method: &str, target: &str) -> Vec<u8> {
    Answer::ok(target).bytes(method, "a")
}

fn talkative(more: &'static str, how: How) -> Backend {
    Backend::with("a", move |request| {
        let answer = bytes(&request.head.method, &request.head.target);
        match how {
            How::AtOnce => Reply::raw([&answer, more.as_bytes()].concat()),
            How::Then => Reply::raw(answer).then(Step::Send(more.into())),
            How::ThenCloses => Reply::raw(answer).then(Step::Send(more.into())).then(Step::Close),
        }
    })
}

/// Each request is sent when all that the backend had to say before lies in the proxy's kernel: it must not be taken for the answer.
fn is_nobodys_answer(more: &'static str) {
    for how in [How::AtOnce, How::Then, How::ThenCloses] {
        let a = talkative(more, how);
        let lb = Setup::new([&a]).start();
        let mut client = Client::connect(lb.address()).unwrap();
        let mut said = 0;
        for n in 0..30 {
            let (method, body): (_, &[u8]) = if n % 3 == 2 { ("POST", b"pay") } else { ("GET", b"") };
            let target = format!("/{n}");
            let response = client.request(method, &target, &[], body).unwrap();
            let got = (response.status(), response.text());
            said += (bytes(method, &target).len() + more.len()) as u64;
            assert_eq!(got, (200, target), "{method} after {more:?}, {how:?}");
            eventually(SOON, "the backend has said all", || {
                a.bytes_sent() == said && (how != How::ThenCloses || a.open_connections() == 0)
            });
        }
        assert_eq!(a.request_count(), 30, "nothing was asked twice");
    }
}

/// Many servers end an idle connection so; RFC 9110 §15.5.9.
#[test]
fn a_408_on_an_idle_connection_is_not_the_next_request_s_answer() {
    is_nobodys_answer("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

/// Whoever could make a backend say two responses would choose what the next client gets.
#[test]
fn a_second_response_is_not_the_next_request_s_answer() {
    is_nobodys_answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
}

#[test]
fn bytes_after_a_response_are_not_the_next_request_s_answer() {
    is_nobodys_answer("\r\n");
    is_nobodys_answer("and another thing");
}
