//! Providers that are asked over HTTP: ipinfo.io and ipapi.co, or what answers as they do.

mod settings;

pub use settings::{CONCURRENT_MAX, HttpSettings, RETRIES_MAX, TIMEOUT_MAX};
