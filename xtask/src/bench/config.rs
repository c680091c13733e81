//! The configurations of origin, peers and edge-lb: templates with `{{NAME}}` where a port or limit of this run goes.

use crate::error::{Error, Result};
use crate::tools;

pub(super) const ORIGIN: &str = include_str!("peers/origin.conf");
pub(super) const NGINX: &str = include_str!("peers/nginx.conf");
pub(super) const HAPROXY: &str = include_str!("peers/haproxy.cfg");
pub(super) const ENVOY: &str = include_str!("peers/envoy.yaml");
pub(super) const CADDY: &str = include_str!("peers/Caddyfile");
pub(super) const EDGE_LB: &str = include_str!("peers/edge-lb.toml");
pub(super) const EDGE_LB_OVERLOAD: &str = include_str!("peers/edge-lb-overload.toml");

/// What the templates are filled with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    /// Where the proxy listens.
    pub(super) port: u16,
    /// Where edge-lb's admin API listens.
    pub(super) admin: u16,
    pub(super) origins: [u16; 3],
    /// Client connections that must be possible at once.
    pub(super) clients: u32,
    /// Open files that a process may have.
    pub(super) files: u64,
}

/// The answer to `/small`: 100 bytes.
pub(super) fn small_body() -> String {
    let mut body = "0123456789".repeat(10);
    body.replace_range(99.., "\n");
    body
}

/// `template` with every `{{NAME}}` replaced.
///
/// # Errors
/// When a name is unknown.
pub(super) fn fill(template: &str, values: &Values) -> Result<String> {
    let [first, second, third] = values.origins;
    let names = [
        ("PORT", values.port.to_string()),
        ("ADMIN", values.admin.to_string()),
        ("ORIGIN1", first.to_string()),
        ("ORIGIN2", second.to_string()),
        ("ORIGIN3", third.to_string()),
        ("CLIENTS", values.clients.to_string()),
        // Each client connection may have one to an origin beside it.
        ("CONNECTIONS", (2 * values.clients + 512).to_string()),
        ("FILES", values.files.to_string()),
        // As root, nginx would give up its rights and then could not read a folder that is only root's.
        ("USER", if tools::is_root() { "user root;" } else { "" }.to_owned()),
        ("SMALL", small_body().replace('\n', "\\n")),
    ];
    let mut text = template.to_owned();
    for (name, value) in names {
        text = text.replace(&format!("{{{{{name}}}}}"), &value);
    }
    let unknown =
        text.match_indices("{{").find(|(at, _)| text[at + 2..].starts_with(|c: char| c.is_ascii_uppercase()));
    match unknown {
        Some((at, _)) => Err(Error::new(format!("unknown name in a template: {:.20}", &text[at..]))),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::{CADDY, EDGE_LB, EDGE_LB_OVERLOAD, ENVOY, HAPROXY, NGINX, ORIGIN, Values, fill, small_body};

    const VALUES: Values =
        Values { port: 8001, admin: 8900, origins: [9001, 9002, 9003], clients: 100, files: 4096 };

    #[test]
    fn every_template_is_filled_completely() {
        for template in [ORIGIN, NGINX, HAPROXY, ENVOY, CADDY, EDGE_LB, EDGE_LB_OVERLOAD] {
            let text = fill(template, &VALUES).expect("known names only");
            for port in ["9001", "9002", "9003"] {
                assert!(text.contains(port), "{port} is missing in:\n{text}");
            }
        }
        assert!(fill("{{NOT_THERE}}", &VALUES).is_err());
    }

    #[test]
    fn the_small_answer_has_a_hundred_bytes() {
        assert_eq!(small_body().len(), 100);
    }
}
