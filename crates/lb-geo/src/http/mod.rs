//! Providers that are asked over HTTP: ipinfo.io and ipapi.co, or what answers as they do (feature `http-providers`).
//!
//! A look-up takes tens of milliseconds and may fail, so no request should wait for one: ask
//! [`detect_location_async`](crate::GeoDetector::detect_location_async) beside it, and put a database behind the provider for the meantime.
//! A provider that answers 429 is left alone for as long as its `Retry-After` says (1 s to 1 h), else for a minute.

#[cfg(feature = "http-providers")]
mod client;
#[cfg(feature = "http-providers")]
mod ipapi;
#[cfg(feature = "http-providers")]
mod ipinfo;
mod settings;
#[cfg(all(test, feature = "http-providers"))]
mod tests;

#[cfg(feature = "http-providers")]
pub use ipapi::IpApi;
#[cfg(feature = "http-providers")]
pub use ipinfo::IpInfo;
pub use settings::{CONCURRENT_MAX, HttpSettings, RETRIES_MAX, TIMEOUT_MAX};
