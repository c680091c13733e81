//! Orders are posted to a URL: [`WebhookDriver`].
//!
//! ```text
//! POST /scale HTTP/1.1
//! content-type: application/json
//! idempotency-key: 5f0c…-7                         the same for all tries of one order
//! x-edge-lb-signature: t=1767225600,v1=9f86d0…     HMAC-SHA256 over "1767225600." and the body
//!
//! {"desired":4,"current":3,"going":[],"reason":"up 1 of 3: mean 85.0 is above 70","sequence":7}
//! ```
//!
//! The receiver should check the signature and that `t` is near its own time, answer what it has done already for a key that it knows, and
//! ignore an order whose `sequence` is lower than one it has seen with the same key before the dash. A status of 2xx is agreement; no
//! connection, no answer in time, 408, 425, 429 and 5xx are tried again; any other is an error at once, redirects included.
//!
//! Plain HTTP only: to a URL of https send it through a local relay. Not here: `Retry-After`, and instances
//! ([`Driver::instances`] is `None`; they come by discovery).

mod client;
mod sign;

pub use sign::signature;

use super::event::EventSink;
use super::latest::{Latest, Refused};
use super::retry::{Retry, within};
use super::{Driven, Driver, DriverError, DriverFuture, Order};
use bytes::Bytes;
use client::Client;
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use lb_types::SettingsError;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The shortest secret that is taken, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-edge-lb-signature";

/// Where orders go.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookSettings {
    /// A URL of plain http, without a query. No default.
    pub url: String,
    /// What the signature is made with; 16 bytes or more, or `None` (the default): no signature.
    pub secret: Option<String>,
    /// How long one try may take, default 10 s (10 ms – 1 h).
    pub timeout: Duration,
    /// How often and when it is tried again, default 5 tries, 500 ms doubling to 30 s.
    pub retry: Retry,
}

impl WebhookSettings {
    /// This URL; the rest as documented.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), secret: None, timeout: Duration::from_secs(10), retry: Retry::default() }
    }

    /// Signs with this.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Another time limit of one try.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Other tries.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value (of the secret only the length).
    pub fn validate(&self) -> Result<(), SettingsError> {
        Client::new(&self.url)?;
        if let Some(secret) = self.secret.as_ref().filter(|secret| secret.len() < SECRET_BYTES_MIN) {
            let must = format!("must have {SECRET_BYTES_MIN} bytes or more");
            return Err(SettingsError::new("secret", format_args!("{} bytes", secret.len()), must));
        }
        within("timeout", self.timeout, Duration::from_millis(10))?;
        self.retry.validate()
    }
}

impl fmt::Debug for WebhookSettings {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = self.secret.is_some();
        f.debug_struct("WebhookSettings")
            .field("url", &self.url)
            .field("signed", &signed)
            .finish_non_exhaustive()
    }
}

/// Posts orders.
pub struct WebhookDriver {
    settings: WebhookSettings,
    client: Client,
    events: Option<EventSink>,
    latest: Latest,
    /// Names this driver among all that ever were.
    run: u128,
}

impl WebhookDriver {
    /// A driver that posts there, and tells of its tries.
    ///
    /// # Errors
    /// A setting is out of its bounds.
    pub fn new(settings: WebhookSettings, events: Option<EventSink>) -> Result<Self, DriverError> {
        settings.validate()?;
        let client = Client::new(&settings.url)?;
        Ok(Self { settings, client, events, latest: Latest::new(), run: fastrand::u128(..) })
    }

    async fn once(&self, order: &Order, number: u64) -> Result<(), Refused> {
        let (body, key) = (body(order, number), format!("{:032x}-{number}", self.run));
        let headers =
            self.headers(&key, &body).map_err(|e| Refused { reason: e.to_string(), again: false })?;
        let limit = self.settings.timeout;
        let late = |_| Err(Refused { reason: format!("no answer within {limit:?}"), again: true });
        tokio::time::timeout(limit, self.client.post(headers, body)).await.unwrap_or_else(late)
    }

    /// Signed anew for each try: the receiver looks at how old it is.
    fn headers(
        &self,
        key: &str,
        body: &[u8],
    ) -> Result<Vec<(&'static str, HeaderValue)>, InvalidHeaderValue> {
        let mut headers = vec![("idempotency-key", HeaderValue::from_str(key)?)];
        if let Some(secret) = &self.settings.secret {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let signed = signature(secret.as_bytes(), now, body);
            headers.push((SIGNATURE_HEADER, HeaderValue::from_str(&signed)?));
        }
        Ok(headers)
    }
}

fn body(order: &Order, sequence: u64) -> Bytes {
    let going: Vec<&str> = order.going.iter().map(AsRef::as_ref).collect();
    let json = serde_json::json!({
        "desired": order.desired,
        "current": order.current,
        "going": going,
        "reason": order.reason,
        "sequence": sequence,
    });
    json.to_string().into()
}

impl Driver for WebhookDriver {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn scale(&self, order: Order) -> DriverFuture<'_> {
        Box::pin(async move {
            let (retry, events) = (&self.settings.retry, self.events.as_ref());
            self.latest.pass_on(&order, retry, events, |number| self.once(&order, number)).await
        })
    }

    fn instances(&self) -> Option<Vec<Driven>> {
        None
    }

    fn shutdown(&self) -> DriverFuture<'_> {
        Box::pin(async {
            self.latest.close().await;
            Ok(())
        })
    }
}

impl fmt::Debug for WebhookDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookDriver").field("settings", &self.settings).finish_non_exhaustive()
    }
}
