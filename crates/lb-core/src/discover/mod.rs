//! Discovery without I/O: from answers to backends, and from backends to changes of a pool.
//!
//! A shell asks (DNS, a watched file, …) and hands the answer in; [`dns`] turns records into backends; a [`Source`] works out what
//! that changes, touching only what it brought itself. Nothing here resolves, sleeps or counts time-to-live.
//!
//! ```
//! use lb_core::discover::{Source, dns};
//! use lb_core::{Pool, PoolSettings};
//! use lb_types::{Backend, SystemClock};
//! use std::sync::Arc;
//!
//! let pool = Pool::new(PoolSettings::default(), vec![], Arc::new(SystemClock::new()))?;
//! let template = Backend::new("any", "http://users.internal:8080".parse()?);
//! let mut source = Source::default();
//! let answer = dns::from_addresses("users.internal", &["10.0.0.2".parse()?, "10.0.0.1".parse()?], 8080, &template);
//! source.apply_to(&pool, Ok::<_, String>(answer))?;
//! assert_eq!(pool.all_backends()[0].id, "10.0.0.1:8080");
//! // The resolver fails: the last good answer stays, and the report says so.
//! let report = source.apply_to(&pool, Err("SERVFAIL"))?;
//! assert_eq!(report.notice.unwrap().to_string(), "no answer (SERVFAIL): the last good one is kept");
//! assert_eq!(pool.all_backends().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod dns;
mod reconcile;

pub use reconcile::{Notice, Plan, Rejected, Report, Source, patch_between};
