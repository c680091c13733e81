//! The file that shows the keys of the whole contract: what is built resolves, all else is refused as not built yet, and
//! nothing is unknown.

use lb_config::{Format, parse};

const CONTRACT: &str = include_str!("contract.toml");

#[test]
fn every_key_of_the_contract_is_built_or_refused_as_planned() {
    let error = parse(CONTRACT, Format::Toml, "contract.toml").expect_err("parts of it are planned");
    let mut refused = Vec::new();
    for d in error.diagnostics() {
        let typed = &CONTRACT[d.span.clone()];
        if d.message.contains(" is not built yet (planned: ") {
            assert!(
                d.message.contains(&format!("`{}`", typed.trim_matches('"'))),
                "{} at {typed}",
                d.message
            );
            refused.push(typed.trim_matches('"'));
        } else {
            // Several pools need routes; those that the contract leaves without backends have none.
            let about_pools = d.message.contains("is one too many") || d.message.contains("has no backends");
            assert!(about_pools, "line {}: {}", d.line, d.message);
        }
    }
    let wanted = [
        "trusted_proxies",
        "proxy_protocol",
        "tls",
        "token",
        "access_log",
        "alerts",
        "stores",
        "geo",
        "routes",
        "splits",
        "session_affinity",
        "connection_pooling",
        "queuing",
        "load_shedding",
        "caching",
        "geo-based",
        "geo",
        "geo-aware",
        "fallback_region",
        "regional_balancers",
        "autoscale",
        "instance_template",
    ];
    assert_eq!(refused, wanted);
}
