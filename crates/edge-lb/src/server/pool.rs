//! From a pool's configuration to its balancer and to how requests are carried.

use super::AssembleError;
use lb_balancer::LoadBalancer;
use lb_balancer::discover::{DnsDiscovery, DnsRecords, FileDiscovery};
use lb_config::{Discovery, DnsRecord, Format, Pool};
use lb_proxy::ProxySettings;
use lb_types::Backend;
use std::path::Path;

/// How requests go to the pool's backends.
pub(super) fn proxy_settings(pool: &Pool) -> ProxySettings {
    ProxySettings {
        connect_timeout: pool.connection_timeout,
        first_byte_timeout: pool.first_byte_timeout,
        idle_timeout: pool.idle_timeout,
        total_timeout: pool.total_timeout,
        max_retries: pool.max_retries,
        preserve_host: pool.preserve_host,
        ..ProxySettings::default()
    }
}

/// The pool with its health checks and its discovery, at rest.
pub(super) fn balancer(name: &str, pool: Pool) -> Result<LoadBalancer, AssembleError> {
    if pool.agent_check.is_some() {
        return Err(AssembleError::AgentChecks { pool: name.to_owned() });
    }
    let mut builder = LoadBalancer::builder().name(name).settings(pool.settings).backends(pool.backends);
    if let Some(check) = pool.health_check {
        builder = builder.health_check(check);
    }
    builder = match pool.discovery {
        None => builder,
        Some(Discovery::Dns { name: host, port, record, interval }) => {
            let records = match record {
                DnsRecord::Address => DnsRecords::Address { port },
                DnsRecord::Srv => DnsRecords::Srv,
                _ => return Err(AssembleError::DiscoveryKind { pool: name.to_owned() }),
            };
            let wrong = |error| AssembleError::Discovery { pool: name.to_owned(), error };
            let mut dns = DnsDiscovery::new(&host, records).map_err(wrong)?;
            if let Some(interval) = interval {
                dns = dns.interval(interval);
            }
            builder.discover(dns)
        }
        Some(Discovery::File { path }) => builder.discover(FileDiscovery::new(path, parse_backends)),
        Some(_) => return Err(AssembleError::DiscoveryKind { pool: name.to_owned() }),
    };
    Ok(builder.build()?)
}

/// A discovery file's text by the same keys as the configuration's.
fn parse_backends(text: &str, path: &Path) -> Result<Vec<Backend>, String> {
    let format = Format::from_path(path).ok_or("the extension must be .toml, .yaml, .yml or .json")?;
    lb_config::parse_backends(text, format, &path.display().to_string()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepted and ignored would be worse.
    #[test]
    fn agent_checks_are_refused_until_the_balancer_takes_their_reports() {
        let mut pool = Pool::default();
        pool.agent_check = Some(lb_health::AgentCheck::port(9999));
        let error = balancer("web", pool).unwrap_err();
        assert_eq!(error.to_string(), "pool \"web\": agent_check is not built into the server yet");
        assert!(error.is_config());
    }

    #[test]
    fn discovery_files_are_read_by_their_extension() {
        let json = r#"[{ "id": "a", "url": "http://10.0.0.1:80" }]"#;
        let found = parse_backends(json, Path::new("backends.json")).unwrap();
        assert_eq!(found[0].id, "a");
        assert!(
            parse_backends(json, Path::new("backends.toml")).unwrap_err().starts_with("backends.toml:1:")
        );
        assert!(parse_backends(json, Path::new("backends.txt")).unwrap_err().contains(".toml"));
    }
}
