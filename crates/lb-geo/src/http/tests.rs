//! Against a server of our own that answers as the providers do, and as they should not.

use super::client::Client;
use super::*;
use crate::{Answer, Database, GeoDetector, GeoError, Location, Provider, Why};
use ::http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What the server does with a connection.
#[derive(Clone)]
enum Say {
    /// Answers with this status, header and body.
    Answer(u16, Option<(&'static str, &'static str)>, String),
    /// Sends these bytes and closes.
    Raw(&'static [u8]),
    /// Says nothing, until the client goes.
    Nothing,
}

fn ok(body: &str) -> Say {
    Say::Answer(200, None, body.to_owned())
}

/// The heads of the requests that it got: path and `Authorization`.
type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A server that goes through `script`, one step a connection, and repeats the last.
async fn server(script: Vec<Say>, tls: Option<tokio_rustls::TlsAcceptor>) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let log = seen.clone();
    tokio::spawn(async move {
        let mut at = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let say = script[at.min(script.len() - 1)].clone();
            at += 1;
            let (log, tls) = (log.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, say, log).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, say, log).await;
                        }
                    }
                }
            });
        }
    });
    (address, seen)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut stream: S, say: Say, log: Seen) {
    match say {
        Say::Answer(status, header, body) => {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let auth = request.headers().get("authorization");
                let auth = auth.map(|value| value.to_str().unwrap().to_owned());
                log.lock().unwrap().push((request.uri().to_string(), auth));
                let mut response = Response::builder().status(status);
                if let Some((name, value)) = header {
                    response = response.header(name, value);
                }
                let response = response.body(Full::new(Bytes::from(body.clone()))).unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            let _gone = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
        Say::Raw(bytes) => {
            let mut request = [0; 4096];
            let _head = stream.read(&mut request).await;
            log.lock().unwrap().push((String::new(), None));
            stream.write_all(bytes).await.unwrap();
            let _closed = stream.shutdown().await;
        }
        Say::Nothing => {
            let mut rest = Vec::new();
            let _gone = stream.read_to_end(&mut rest).await;
        }
    }
}

fn settings(address: SocketAddr) -> HttpSettings {
    HttpSettings::new()
        .base_url(format!("http://{address}"))
        .retries(1, Duration::from_millis(1))
        .timeout(Duration::from_secs(20)) // no test waits for it
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn ipinfo(script: Vec<Say>, of: &str) -> (Result<Answer, GeoError>, usize) {
    let (address, seen) = server(script, None).await;
    let result = IpInfo::new(settings(address)).unwrap().locate(ip(of)).await;
    let requests = seen.lock().unwrap().len();
    (result, requests)
}

async fn ipapi(script: Vec<Say>, of: &str) -> Result<Answer, GeoError> {
    let (address, _) = server(script, None).await;
    IpApi::new(settings(address)).unwrap().locate(ip(of)).await
}

const GOOGLE: &str = r#"{"ip": "8.8.8.8", "hostname": "dns.google", "city": "Mountain View", "region": "California",
    "country": "US", "loc": "37.4056,-122.0775", "org": "AS15169 Google LLC", "postal": "94043", "anycast": true}"#;

fn found(answer: Result<Answer, GeoError>) -> Location {
    answer.unwrap().location().cloned().unwrap()
}

#[tokio::test]
async fn ipinfo_places_an_address() {
    let (address, seen) = server(vec![ok(GOOGLE)], None).await;
    let provider = IpInfo::new(settings(address).token("t0ken")).unwrap();
    assert_eq!(provider.locate_now(ip("8.8.8.8")), None);
    let location = found(provider.locate(ip("8.8.8.8")).await);
    assert_eq!(location.country.map(super::super::country::Country::code), Some("US"));
    assert_eq!(location.continent.map(super::super::continent::Continent::code), Some("NA"));
    assert_eq!(location.region_name.as_deref(), Some("California"));
    assert_eq!(location.city.as_deref(), Some("Mountain View"));
    assert_eq!(location.coordinates.map(|c| (c.lat(), c.lon())), Some((37.4056, -122.0775)));
    assert_eq!((location.asn, location.as_organization.as_deref()), (Some(15169), Some("Google LLC")));
    assert_eq!(*seen.lock().unwrap(), [("/8.8.8.8/json".to_owned(), Some("Bearer t0ken".to_owned()))]);
}

#[tokio::test]
async fn ipapi_places_an_address() {
    let body = r#"{"ip": "2001:218::1", "version": "IPv6", "city": "Tokyo", "region": "Tokyo", "region_code": "13",
        "country": "JP", "country_name": "Japan", "country_code": "JP", "continent_code": "AS", "in_eu": false,
        "latitude": 35.6893, "longitude": 139.6899, "asn": "AS2914", "org": "NTT America"}"#;
    let (address, seen) = server(vec![ok(body)], None).await;
    let base = format!("http://{address}/geo/");
    let provider = IpApi::new(settings(address).base_url(base).token("a&b=c")).unwrap();
    let location = found(provider.locate(ip("2001:218::1")).await);
    assert_eq!(location.region.unwrap().to_string(), "JP-13");
    assert_eq!(
        (location.city.as_deref(), location.continent.map(super::super::continent::Continent::code)),
        (Some("Tokyo"), Some("AS"))
    );
    assert_eq!(location.coordinates.map(|c| (c.lat(), c.lon())), Some((35.6893, 139.6899)));
    assert_eq!((location.asn, location.as_organization.as_deref()), (Some(2914), Some("NTT America")));
    assert_eq!(*seen.lock().unwrap(), [("/geo/2001:218::1/json/?key=a%26b%3Dc".to_owned(), None)]);
}

#[tokio::test]
async fn what_a_provider_does_not_know_is_unknown() {
    let unknown = |why| Ok(Answer::Unknown(why));
    let (answer, requests) =
        ipinfo(vec![Say::Answer(404, None, r#"{"status": 404}"#.to_owned())], "8.8.8.8").await;
    assert_eq!((answer, requests), (unknown(Why::NotInDatabase), 1));
    let (answer, _) = ipinfo(vec![ok(r#"{"ip": "8.8.8.8", "bogon": true}"#)], "8.8.8.8").await;
    assert_eq!(answer, unknown(Why::Reserved));
    let (answer, _) = ipinfo(vec![ok(r#"{"ip": "8.8.8.8"}"#)], "8.8.8.8").await;
    assert_eq!(answer, unknown(Why::NotInDatabase));
    let reserved = r#"{"ip": "8.8.8.8", "error": true, "reason": "Reserved IP Address", "reserved": true}"#;
    assert_eq!(ipapi(vec![ok(reserved)], "8.8.8.8").await, unknown(Why::Reserved));
    assert_eq!(
        ipapi(vec![ok(r#"{"ip": "8.8.8.8", "city": null}"#)], "8.8.8.8").await,
        unknown(Why::NotInDatabase)
    );
}

#[tokio::test]
async fn refusals_are_not_tried_again() {
    let refusal = Say::Answer(403, None, "Unknown token\n".to_owned());
    let (answer, requests) = ipinfo(vec![refusal], "8.8.8.8").await;
    assert_eq!(answer.unwrap_err().to_string(), "ipinfo: answered 403: Unknown token");
    assert_eq!(requests, 1);
    let error = ipapi(vec![ok(r#"{"error": true, "reason": "Invalid Key"}"#)], "8.8.8.8").await.unwrap_err();
    assert_eq!(error.to_string(), "ipapi: answered 200: Invalid Key");
}

#[tokio::test]
async fn ipapi_says_too_often_with_success_as_well() {
    let (address, seen) = server(vec![ok(r#"{"error": true, "reason": "RateLimited"}"#)], None).await;
    let provider = IpApi::new(settings(address)).unwrap();
    for _ in 0..2 {
        let error = provider.locate(ip("8.8.8.8")).await.unwrap_err();
        assert!(matches!(error, GeoError::RateLimited { .. }), "{error}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_waits_for_a_place_does_not_ask_a_provider_that_rests() {
    let (address, seen) = server(vec![Say::Answer(429, None, String::new())], None).await;
    let provider = Arc::new(IpInfo::new(settings(address).max_concurrent(1)).unwrap());
    let (a, b) = (provider.locate(ip("8.8.8.8")), provider.locate(ip("9.9.9.9")));
    let (a, b) = tokio::join!(a, b);
    for answer in [a, b] {
        assert!(matches!(answer, Err(GeoError::RateLimited { .. })), "{answer:?}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn no_token_is_shown() {
    let settings = || HttpSettings::new().token("s3cret");
    let (ipinfo, ipapi) = (IpInfo::new(settings()).unwrap(), IpApi::new(settings()).unwrap());
    let shown = format!("{ipinfo:?} {ipapi:?} {:?}", settings());
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_server_in_trouble_is_tried_again_within_the_bound() {
    let trouble = || Say::Answer(503, None, "later".to_owned());
    let (answer, requests) = ipinfo(vec![trouble(), ok(GOOGLE)], "8.8.8.8").await;
    assert_eq!((found(answer).asn, requests), (Some(15169), 2));
    let (answer, requests) = ipinfo(vec![trouble()], "8.8.8.8").await;
    let error = GeoError::Status { provider: "ipinfo", status: 503, text: "later".to_owned() };
    assert_eq!((answer, requests), (Err(error), 2));
    // Half a body, and then a whole one.
    let half = Say::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"ip\": ");
    let (answer, requests) = ipinfo(vec![half.clone(), ok(GOOGLE)], "8.8.8.8").await;
    assert_eq!((found(answer).asn, requests), (Some(15169), 2));
    let (answer, requests) = ipinfo(vec![half], "8.8.8.8").await;
    assert!(matches!(&answer, Err(GeoError::Malformed { .. })), "{answer:?}");
    assert_eq!(requests, 2);
}

#[tokio::test]
async fn garbage_is_malformed() {
    let long = format!("\"{}\"", "x".repeat(70_000));
    let other = GOOGLE.replace("8.8.8.8", "9.9.9.9");
    for (say, reason) in [
        (ok("<html>hello</html>"), "expected value"),
        (ok("[]"), ""),
        (ok("{}"), "missing field `ip`"),
        (ok(r#"{"ip": "8.8.8.8", "city": 5}"#), "invalid type"),
        (ok(&other), "asked for 8.8.8.8, it tells of 9.9.9.9"),
        (ok(&long), "more than 64 KiB"),
        (Say::Raw(b"what?\r\n\r\n"), "invalid HTTP"),
        (Say::Raw(b""), ""),
    ] {
        let (answer, _) = ipinfo(vec![say], "8.8.8.8").await;
        let error = answer.unwrap_err();
        assert!(matches!(error, GeoError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    // Nonsense within fields is unknown.
    let odd = r#"{"ip": "8.8.8.8", "country": "ZZ", "loc": "91,0", "org": "Some Name"}"#;
    let (answer, _) = ipinfo(vec![ok(odd)], "8.8.8.8").await;
    let location = found(answer);
    assert_eq!((location.country, location.coordinates, location.asn), (None, None, None));
    assert_eq!(location.as_organization.as_deref(), Some("Some Name"));
}

#[tokio::test]
async fn a_provider_that_is_asked_too_often_is_left_alone() {
    let (address, seen) =
        server(vec![Say::Answer(429, Some(("retry-after", "30")), String::new()), ok(GOOGLE)], None).await;
    let provider = IpInfo::new(settings(address)).unwrap();
    let error = provider.locate(ip("8.8.8.8")).await.unwrap_err();
    assert_eq!(error, GeoError::RateLimited { provider: "ipinfo", again_in: Duration::from_secs(30) });
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(29)).await;
    let error = provider.locate(ip("8.8.8.8")).await.unwrap_err();
    assert!(matches!(error, GeoError::RateLimited { again_in, .. } if again_in <= Duration::from_secs(1)));
    assert_eq!(seen.lock().unwrap().len(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    found(provider.locate(ip("8.8.8.8")).await);
}

#[tokio::test(start_paused = true)] // tokio's clock jumps when nothing else is left to do
async fn a_slow_provider_times_out() {
    let (address, _) = server(vec![Say::Nothing], None).await;
    let limit = Duration::from_millis(1_500);
    let provider = IpApi::new(settings(address).timeout(limit)).unwrap();
    let error = provider.locate(ip("8.8.8.8")).await.unwrap_err();
    assert_eq!(error, GeoError::TimedOut { provider: "ipapi", limit });
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_said_to_be() {
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap(); // bound, so nobody else's, and not listened on
    let address = taken.local_addr().unwrap();
    let error = IpInfo::new(settings(address)).unwrap().locate(ip("8.8.8.8")).await.unwrap_err();
    assert!(matches!(&error, GeoError::Connect { address: at, .. } if *at == address.to_string()), "{error}");
}

#[tokio::test]
async fn over_tls_the_certificate_counts() {
    let signed =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key.into())
        .unwrap();
    let (address, _) = server(vec![ok(GOOGLE)], Some(Arc::new(config).into())).await;
    let https = settings(address).base_url(format!("https://{address}"));

    let error = IpInfo::new(https.clone()).unwrap().locate(ip("8.8.8.8")).await.unwrap_err();
    assert!(
        matches!(error, GeoError::Connect { .. }) && error.to_string().contains("certificate"),
        "{error}"
    );

    let mut roots = rustls::RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let client = Client::with_roots("ipinfo", IpInfo::BASE_URL, https, true, roots).unwrap();
    assert_eq!(client.get("/8.8.8.8/json").await.unwrap().body, GOOGLE);
}

#[tokio::test]
async fn a_detector_asks_it_and_remembers() {
    let (address, seen) = server(vec![ok(GOOGLE)], None).await;
    let detector = GeoDetector::builder()
        .database(Database::ipinfo(settings(address)))
        .clock(Arc::<lb_types::ManualClock>::default())
        .build()
        .unwrap();
    let at = ip("8.8.8.8");
    assert_eq!(detector.detect_location(at), Answer::Unknown(Why::NotInDatabase), "it asks nobody far away");
    found(detector.detect_location_async(at).await);
    assert!(detector.detect_location(at).location().is_some());
    detector.detect_location_async(ip("10.0.0.1")).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn bad_settings_are_said() {
    let error = |settings: HttpSettings| IpInfo::new(settings).unwrap_err().to_string();
    let some = HttpSettings::new;
    assert_eq!(
        error(some().base_url("ftp://x")),
        "geo.base_url = \"ftp://x\": it is no URL of http or https, without a query"
    );
    assert!(error(some().base_url("http://x/?a=b")).contains("without a query"));
    assert!(error(some().base_url("unix:/x.sock")).contains("no URL of http"));
    assert_eq!(
        error(some().timeout(Duration::from_millis(9))),
        "geo.timeout = 9ms: it has to be 10 ms to 30 s"
    );
    assert!(error(some().retries(6, Duration::from_secs(1))).contains("geo.retries = 6"));
    assert!(error(some().retries(1, Duration::ZERO)).contains("geo.backoff"));
    assert!(error(some().max_concurrent(0)).contains("geo.max_concurrent = 0"));
    for token in ["", "a b", "a\r\nHost: evil"] {
        assert!(error(some().token(token)).contains("geo.token = (hidden)"));
    }
    assert!(IpInfo::new(some()).is_ok() && IpApi::new(some()).is_ok());
}
