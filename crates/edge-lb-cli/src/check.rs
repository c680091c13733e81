//! `edge-lb check`: is this configuration right? What is right but hardly meant is told on stderr, and changes no exit code.

use crate::args::CheckArgs;
use crate::failure::{Failure, stdout_gone};
use crate::style::Style;
use edge_lb::config::{self, Config};
use std::io::{self, Write};

/// Reports each file: on stdout if it is right, on stderr if not.
pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let color = Style::for_stream(&io::stderr()).color;
    let mut wrong = false;
    for file in &args.files {
        match config::load(file) {
            Ok(config) => {
                let name = file.display();
                writeln!(io::stdout(), "{name}: ok ({})", describe(&config)).map_err(stdout_gone)?;
                config.warnings.iter().for_each(|warning| eprintln!("{warning}"));
            }
            Err(e) => {
                wrong = true;
                eprintln!("{}", e.render(color));
            }
        }
    }
    if wrong { Err(Failure::Said(2)) } else { Ok(()) }
}

/// `1 listener, 1 pool, 3 backends`, and what else there is.
fn describe(config: &Config) -> String {
    let backends = config.pools.values().map(|p| p.backends.len()).sum();
    let mut parts = vec![
        count(config.listeners.len(), "listener"),
        count(config.pools.len(), "pool"),
        count(backends, "backend"),
    ];
    if !config.routes.is_empty() {
        parts.insert(1, count(config.routes.len(), "route"));
    }
    if !config.splits.is_empty() {
        parts.insert(2, count(config.splits.len(), "split"));
    }
    if config.pools.values().any(|p| p.discovery.is_some()) {
        parts.push("discovery".to_owned());
    }
    if let Some(admin) = &config.admin {
        parts.push(format!("admin on {}", admin.address));
    }
    parts.join(", ")
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_lb::config::{Format, parse};

    #[test]
    fn a_configuration_is_described_by_its_counts() {
        let text = r#"
            admin = { address = "127.0.0.1:9900" }
            listeners = [{ address = "127.0.0.1:8080" }]
            [pools.web]
            backends = [{ url = "http://127.0.0.1:9001" }, { url = "http://127.0.0.1:9002" }]
        "#;
        let config = parse(text, Format::Toml, "x").unwrap();
        assert_eq!(describe(&config), "1 listener, 1 pool, 2 backends, admin on 127.0.0.1:9900");
    }
}
