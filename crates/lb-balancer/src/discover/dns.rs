//! Discovery from DNS: the A and AAAA records of a name with a port from the configuration, or its SRV records.
//!
//! A name is asked for as it stands (fully qualified: no search domains), again when the shortest time to live of the answer ends
//! ([`TTL_MIN`] to [`TTL_MAX`], shortened by up to a quarter so that many processes do not ask at once), or at a fixed interval. No answer,
//! and also an answer without records, is an error: the last good list stays. Where only one of A and AAAA cannot be had, the addresses
//! of that family stay what they were.
//!
//! What records become is [`lb_core::discover::dns`]'s to say. An SRV target stays a name (`http://target:port`), resolved by whoever
//! connects. It lacks https backends.

use super::follow::jittered;
use super::{Discover, DiscoverError, DiscoverFuture};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use lb_core::discover::dns::{SrvRecord, from_addresses, from_srv};
use lb_types::{Backend, BackendUrl};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

/// The shortest time between two look-ups, whatever the time to live says.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// The longest time between two look-ups by time to live.
pub const TTL_MAX: Duration = Duration::from_secs(300);

/// Which records tell the backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsRecords {
    /// A and AAAA: each address is a backend on this port.
    Address {
        /// The port of every backend.
        port: u16,
    },
    /// SRV: each target with its port, weight and priority.
    Srv,
}

/// See the module's documentation.
pub struct DnsDiscovery {
    name: Name,
    records: DnsRecords,
    interval: Option<Duration>,
    nameservers: Vec<SocketAddr>,
    resolver: Option<TokioResolver>,
    /// When to ask again.
    due: Option<Instant>,
    /// The last known addresses, IPv4 and IPv6.
    known: [BTreeSet<IpAddr>; 2],
}

impl DnsDiscovery {
    /// The backends that `name` has `records` for. The system's resolver settings are used, read at the first look-up.
    ///
    /// # Errors
    /// [`DiscoverError::Setting`]: `name` is no DNS name, or the port is 0.
    pub fn new(name: &str, records: DnsRecords) -> Result<Self, DiscoverError> {
        let bad = |field, value: &str, reason: &str| DiscoverError::Setting {
            field,
            value: value.to_owned(),
            reason: reason.to_owned(),
        };
        let mut parsed =
            Name::from_ascii(name).map_err(|e| bad("name", name, &format!("no DNS name: {e}")))?;
        if name.is_empty() || parsed.is_root() {
            return Err(bad("name", name, "no DNS name"));
        }
        if records == (DnsRecords::Address { port: 0 }) {
            return Err(bad("port", "0", "must be 1 to 65535"));
        }
        parsed.set_fqdn(true);
        Ok(Self {
            name: parsed,
            records,
            interval: None,
            nameservers: vec![],
            resolver: None,
            due: None,
            known: Default::default(),
        })
    }

    /// Asks at this interval (at least [`TTL_MIN`]) instead of when the time to live ends.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval.max(TTL_MIN));
        self
    }

    /// Asks this name server (UDP, then TCP) instead of the system's; several may be given.
    #[must_use]
    pub fn nameserver(mut self, address: SocketAddr) -> Self {
        self.nameservers.push(address);
        self
    }

    /// Asks through this resolver. Its cache should be off (`cache_size = 0`), or answers are as old as it keeps them.
    #[must_use]
    pub fn resolver(mut self, resolver: TokioResolver) -> Self {
        self.resolver = Some(resolver);
        self
    }

    fn lookup_error(&self, records: &'static str, error: &dyn Display) -> DiscoverError {
        DiscoverError::Lookup { name: self.name.to_string(), records, error: error.to_string() }
    }

    fn connect(&mut self) -> Result<TokioResolver, DiscoverError> {
        if let Some(resolver) = &self.resolver {
            return Ok(resolver.clone());
        }
        let mut builder = if self.nameservers.is_empty() {
            TokioResolver::builder_tokio().map_err(|e| self.lookup_error("resolver settings", &e))?
        } else {
            let servers = self.nameservers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, vec![], servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        // We ask when an answer is over: a cache would only give the same one again.
        builder.options_mut().cache_size = 0;
        let resolver = builder.build().map_err(|e| self.lookup_error("resolver settings", &e))?;
        Ok(self.resolver.insert(resolver).clone())
    }

    async fn ask(&mut self) -> Result<Vec<Backend>, DiscoverError> {
        let resolver = self.connect()?;
        let (list, ttl) = match self.records {
            DnsRecords::Address { port } => self.addresses(&resolver, port).await?,
            DnsRecords::Srv => {
                let answer = resolver.lookup(self.name.clone(), RecordType::SRV).await;
                let answer = answer.map_err(|e| self.lookup_error("SRV", &e))?;
                let records = answer.answers().iter().filter_map(|r| match &r.data {
                    RData::SRV(srv) => Some(unresolved(srv)),
                    _ => None,
                });
                (from_srv(&records.collect::<Vec<_>>(), &template()), ttl(&answer))
            }
        };
        if list.is_empty() {
            let records = if self.records == DnsRecords::Srv { "SRV" } else { "A, AAAA" };
            return Err(self.lookup_error(records, &"the answer has no usable records"));
        }
        let wait = self.interval.unwrap_or(ttl);
        self.due = Some(Instant::now() + jittered(wait, fastrand::f64()).max(TTL_MIN));
        Ok(list)
    }

    async fn addresses(
        &mut self,
        resolver: &TokioResolver,
        port: u16,
    ) -> Result<(Vec<Backend>, Duration), DiscoverError> {
        let (v4, v6) = tokio::join!(
            resolver.lookup(self.name.clone(), RecordType::A),
            resolver.lookup(self.name.clone(), RecordType::AAAA)
        );
        let (v4, v6) = (family(v4), family(v6));
        if let (Err(e), Err(_)) = (&v4, &v6) {
            return Err(self.lookup_error("A, AAAA", e));
        }
        let mut shortest = TTL_MAX;
        for (known, answer) in self.known.iter_mut().zip([v4, v6]) {
            match answer {
                Ok((addresses, ttl)) => {
                    // A family without records is asked for with the other.
                    shortest = if addresses.is_empty() { shortest } else { shortest.min(ttl) };
                    *known = addresses;
                }
                // What is known stays; it is asked for again soon.
                Err(_) if !known.is_empty() => shortest = TTL_MIN,
                Err(_) => {}
            }
        }
        let known: Vec<_> = self.known.iter().flatten().copied().collect();
        let name = self.name.to_ascii();
        Ok((from_addresses(name.trim_end_matches('.'), &known, port, &template()), shortest))
    }
}

impl Discover for DnsDiscovery {
    fn describe(&self) -> String {
        match self.records {
            DnsRecords::Address { port } => format!("dns {} port {port}", self.name),
            DnsRecords::Srv => format!("dns {} srv", self.name),
        }
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async {
            if let Some(due) = self.due {
                tokio::time::sleep_until(due).await;
            }
            // Until this look-up has gone well, a further one need not wait.
            self.due = None;
            self.ask().await
        })
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let at = |mut c: ConnectionConfig| {
        c.port = address.port();
        c
    };
    NameServerConfig::new(address.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
}

/// The addresses of one family; none is an answer, too.
fn family(answer: Result<Lookup, NetError>) -> Result<(BTreeSet<IpAddr>, Duration), NetError> {
    match answer {
        Err(e) if e.is_no_records_found() => Ok((BTreeSet::new(), TTL_MAX)),
        Err(e) => Err(e),
        Ok(answer) => Ok((answer.answers().iter().filter_map(|r| r.data.ip_addr()).collect(), ttl(&answer))),
    }
}

/// How long this answer holds, within the bounds.
fn ttl(answer: &Lookup) -> Duration {
    let shortest = answer.answers().iter().map(|r| r.ttl).min().unwrap_or(0);
    Duration::from_secs(shortest.into()).clamp(TTL_MIN, TTL_MAX)
}

/// What discovered backends have in common; the host stands for each one's own.
fn template() -> Backend {
    Backend::new("", BackendUrl::http("localhost", 80).expect("a host name and a port that is not 0"))
}

/// The target stays a name.
fn unresolved(srv: &SRV) -> SrvRecord {
    let SRV { priority, weight, port, ref target, .. } = *srv;
    SrvRecord { priority, weight, port, target: target.to_ascii(), addresses: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_and_ports_are_refused() {
        for (name, port, field) in [("", 1, "name"), (".", 1, "name"), ("a..b", 1, "name"), ("a", 0, "port")]
        {
            let e = DnsDiscovery::new(name, DnsRecords::Address { port }).map(|_| ()).unwrap_err();
            assert!(matches!(&e, DiscoverError::Setting { field: f, .. } if *f == field), "{e}");
        }
        assert!(DnsDiscovery::new("_http._tcp.users.internal.", DnsRecords::Srv).is_ok());
        let d = DnsDiscovery::new("users.internal", DnsRecords::Srv).unwrap();
        assert_eq!(d.describe(), "dns users.internal. srv", "fully qualified");
    }
}
