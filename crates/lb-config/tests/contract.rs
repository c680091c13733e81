//! The file that shows the keys of the whole contract: what is built resolves, all else is refused as not built yet, and
//! nothing is unknown.

use lb_config::{Format, Secrets, parse_with};

const CONTRACT: &str = include_str!("contract.toml");

#[test]
fn every_key_of_the_contract_is_built_or_refused_as_planned() {
    let secrets = Secrets::new().variables(|name| (name == "LB_SECRET").then(|| "0123456789abcdef".into()));
    let error =
        parse_with(CONTRACT, Format::Toml, "contract.toml", &secrets).expect_err("parts of it are planned");
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
            // It shows keys rather than one file: several pools, of which some are only begun.
            let sketched = [
                "no request comes to pool",
                "has no backends",
                "there is no pool \"blue\"",
                "there is no pool \"green\"",
                "there is no backend",
                "`retry_policy` does nothing here",
            ];
            assert!(sketched.iter().any(|s| d.message.contains(s)), "line {}: {}", d.line, d.message);
        }
    }
    let wanted = ["proxy_protocol", "tls", "token", "access_log", "alerts"];
    assert_eq!(refused, wanted);
}
