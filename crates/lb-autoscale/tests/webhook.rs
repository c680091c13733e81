//! The webhook driver against a server of our own that answers as it is told.

use lb_autoscale::driver::retry::Retry;
use lb_autoscale::driver::webhook::{SIGNATURE_HEADER, WebhookDriver, WebhookSettings, signature};
use lb_autoscale::{Driver, DriverError, EventSink, Order};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECRET: &str = "a secret of sixteen";

/// What the server does with a connection.
#[derive(Clone, Copy)]
enum Say {
    Status(&'static str),
    /// Closes at once.
    Close,
    /// Says nothing, until the client goes.
    Nothing,
}

struct Request {
    head: String,
    headers: BTreeMap<String, String>,
    body: String,
}

type Got = Arc<Mutex<Vec<Request>>>;

/// Goes through the script, one step a connection, and repeats the last.
async fn server(script: &'static [Say]) -> (String, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/scale", listener.local_addr().unwrap());
    let got = Got::default();
    let log = got.clone();
    tokio::spawn(async move {
        let mut at = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let say = script[at.min(script.len() - 1)];
            at += 1;
            tokio::spawn(serve(stream, say, log.clone()));
        }
    });
    (url, got)
}

async fn serve(mut stream: TcpStream, say: Say, log: Got) {
    let mut bytes = Vec::new();
    let request = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(request) = whole(&String::from_utf8_lossy(&bytes)) {
            break request;
        }
    };
    log.lock().unwrap().push(request);
    match say {
        Say::Status(status) => {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        Say::Close => {}
        Say::Nothing => {
            let _ = stream.read(&mut [0]).await;
        }
    }
}

fn whole(text: &str) -> Option<Request> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let first = lines.next()?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    (body.len() >= length).then(|| Request { head: first, headers, body: body.to_owned() })
}

fn driver(url: &str, timeout: Duration) -> (WebhookDriver, Arc<Mutex<String>>) {
    let settings = WebhookSettings::new(url).secret(SECRET).timeout(timeout);
    let seen = Arc::new(Mutex::new(String::new()));
    let told = seen.clone();
    let sink: EventSink = Arc::new(move |event| *told.lock().unwrap() += &format!("{event}\n"));
    (WebhookDriver::new(settings.retry(Retry::new(4, MS(5), MS(20))), Some(sink)).unwrap(), seen)
}

#[tokio::test]
async fn an_order_is_posted_and_signed() {
    let (url, got) = server(&[Say::Status("204 No Content")]).await;
    let (driver, _) = driver(&url, MS(10_000));
    let order = Order::new(4, 3).going(["a".into()]).reason("up 1 of 3");
    driver.scale(order.clone()).await.unwrap();
    driver.scale(order).await.unwrap();
    let got = got.lock().unwrap();
    let one = &got[0];
    assert_eq!(one.head, "POST /scale HTTP/1.1");
    assert_eq!(one.headers["content-type"], "application/json");
    let json: serde_json::Value = serde_json::from_str(&one.body).unwrap();
    let expected = serde_json::json!({
        "desired": 4, "current": 3, "going": ["a"], "reason": "up 1 of 3", "sequence": 1
    });
    assert_eq!(json, expected);
    let sent = &one.headers[SIGNATURE_HEADER];
    let at: u64 = sent.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    assert_eq!(*sent, signature(SECRET.as_bytes(), at, one.body.as_bytes()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(at) < 600, "{at}");
    // Another order has another key, of the same run.
    let (first, second) = (&one.headers["idempotency-key"], &got[1].headers["idempotency-key"]);
    assert_ne!(first, second);
    assert_eq!(first.split_once('-').unwrap().0, second.split_once('-').unwrap().0);
}

#[tokio::test]
async fn failures_are_tried_again_with_the_same_key() {
    let (url, got) = server(&[
        Say::Status("500 Internal Server Error"),
        Say::Close,
        Say::Status("429 Too Many Requests"),
        Say::Status("200 OK"),
    ])
    .await;
    let (driver, seen) = driver(&url, MS(10_000));
    driver.scale(Order::new(4, 3)).await.unwrap();
    let got = got.lock().unwrap();
    assert_eq!(got.len(), 4);
    assert!(got.iter().all(|one| one.body == got[0].body));
    assert!(got.iter().all(|one| one.headers["idempotency-key"] == got[0].headers["idempotency-key"]));
    let seen = seen.lock().unwrap();
    assert!(seen.contains("answered 500 Internal Server Error"), "{seen}");
    assert!(seen.ends_with("order: 4 instances ordered, at try 4\n"), "{seen}");
}

#[tokio::test]
async fn no_answer_in_time_is_a_failure() {
    let (url, got) = server(&[Say::Nothing]).await;
    let (driver, _) = driver(&url, MS(50));
    let reason = "no answer within 50ms".to_owned();
    assert_eq!(driver.scale(Order::new(4, 3)).await, Err(DriverError::Failed { tries: 4, reason }));
    assert!(got.lock().unwrap().len() <= 4);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    const SCRIPTS: [[Say; 1]; 3] =
        [[Say::Status("400 Bad Request")], [Say::Status("401 Unauthorized")], [Say::Status("302 Found")]];
    for script in &SCRIPTS {
        let (url, got) = server(script).await;
        let (driver, seen) = driver(&url, MS(10_000));
        match driver.scale(Order::new(4, 3)).await {
            Err(DriverError::Failed { tries: 1, reason }) => {
                assert!(matches!(script, [Say::Status(status)] if reason.ends_with(status)), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((got.lock().unwrap().len(), seen.lock().unwrap().as_str()), (1, ""));
    }
}

#[tokio::test]
async fn nobody_there_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (driver, _) = driver(&url, MS(10_000));
    match driver.scale(Order::new(4, 3)).await {
        Err(DriverError::Failed { tries: 4, reason }) => {
            assert!(reason.contains("cannot be connected to"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    driver.shutdown().await.unwrap();
    assert_eq!(driver.scale(Order::new(1, 1)).await, Err(DriverError::Closed));
}

#[test]
fn errors_name_field_and_value_and_hide_the_secret() {
    let d = || WebhookSettings::new("http://a.example/x");
    assert_eq!(d().validate(), Ok(()));
    for (settings, message) in [
        (
            WebhookSettings::new("https://a.example"),
            "url = \"https://a.example\": must be a URL of http, without a query",
        ),
        (WebhookSettings::new("x"), "url = \"x\": must be a URL of http, without a query"),
        (d().secret("short"), "secret = 5 bytes: must have 16 bytes or more"),
        (d().timeout(MS(1)), "timeout = 1ms: must be from 10ms to 3600s"),
    ] {
        assert_eq!(settings.validate().unwrap_err().to_string(), message);
    }
    assert!(!format!("{:?}", d().secret(SECRET)).contains(SECRET));
}
