//! A cluster of Kubernetes: how it is reached, what is scaled there, and whose pods are backends.

use super::known::Known;
use super::{set, set_duration_within};
use crate::config::{KubernetesApi, KubernetesPods, KubernetesWorkload, PodFamily, PodPort, WorkloadKind};
use crate::node::{Value, shorten};
use crate::reader::{Field, Reader};
use lb_autoscale::driver::retry::Retry;
use lb_types::{Address, BackendUrl};
use std::path::PathBuf;
use std::time::Duration;

const LEAST: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(3_600);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The workload of a driver, whose keys were looked at; `None` where it is wrong.
pub(super) fn workload(r: &Reader<'_>, retry: Retry, known: &Known<'_>) -> Option<KubernetesWorkload> {
    let kinds = [("deployment", WorkloadKind::Deployment), ("statefulset", WorkloadKind::StatefulSet)];
    let kind = r.field("kind").choice(&kinds).unwrap_or_default();
    let (namespace, api, timeout) = place(r, known);
    let name = name(&r.field("name").required())?;
    Some(KubernetesWorkload { kind, name, namespace, api, timeout, retry })
}

/// The service of a discovery, whose keys were looked at; `None` where it is wrong.
pub(super) fn pods(r: &Reader<'_>, known: &Known<'_>) -> Option<KubernetesPods> {
    let port = port(&r.field("port"));
    let families = [("ipv4", PodFamily::Ipv4), ("ipv6", PodFamily::Ipv6)];
    let family = r.field("family").choice(&families).unwrap_or_default();
    let (namespace, api, timeout) = place(r, known);
    let service = name(&r.field("service").required())?;
    Some(KubernetesPods { service, namespace, port, family, api, timeout })
}

/// Namespace, API and time limit: the same keys wherever a cluster is asked.
fn place(r: &Reader<'_>, known: &Known<'_>) -> (String, KubernetesApi, Duration) {
    let mut namespace = "default".to_owned();
    set(&mut namespace, name(&r.field("namespace")));
    let mut timeout = TIMEOUT;
    set_duration_within(&mut timeout, r, "timeout", LEAST..=HOUR);
    let api = r.field("api").table().and_then(|t| api(&t, known)).unwrap_or_default();
    (namespace, api, timeout)
}

fn api(r: &Reader<'_>, known: &Known<'_>) -> Option<KubernetesApi> {
    let url = r.field("url");
    if !url.is_present() {
        r.refuse(&["token", "ca"], |key| format!("`{key}` does nothing without `url`"));
        let path = path(&r.field("kubeconfig"));
        let context = r.field("context").text().map(str::to_owned);
        let is_said = path.is_some() || context.is_some();
        return is_said.then_some(KubernetesApi::Kubeconfig { path, context });
    }
    r.refuse(&["kubeconfig", "context"], |key| {
        format!("`{key}` belongs to a kubeconfig, and `url` does without one: give one of them")
    });
    let field = r.field("token");
    let token = known.secrets.secret(&field);
    if token.as_ref().is_some_and(|t| !t.bytes().all(|b| b.is_ascii_graphic())) {
        field.error("`token` must be visible ASCII");
    }
    let ca = path(&r.field("ca"));
    let text = url.text()?;
    let parsed = text.parse::<BackendUrl>().ok();
    // What holds for a backend's URL holds here, but that it must be reached by TCP.
    if !parsed.is_some_and(|u| matches!(u.address(), Address::Tcp { .. })) || text.contains(['?', '#']) {
        let message = format!("\"{}\" is no URL of http or https, without a query", shorten(text));
        url.error(message).help("such as \"https://10.0.0.1:6443\"");
        return None;
    }
    Some(KubernetesApi::Url { url: text.to_owned(), token, ca })
}

fn path(field: &Field<'_>) -> Option<PathBuf> {
    let text = field.text()?;
    if text.starts_with('~') {
        let help = "write the whole path; without `kubeconfig`, ~/.kube/config is read";
        field.error(format!("`{}`: `~` is not filled in", field.name())).help(help);
    }
    Some(text.into())
}

fn port(field: &Field<'_>) -> PodPort {
    let Some(node) = field.node() else { return PodPort::Only };
    match &node.value {
        // A name has a letter: digits in quotes are a number that was meant.
        Value::Text(text) if !text.bytes().all(|b| b.is_ascii_digit()) => {
            name(field).map_or(PodPort::Only, PodPort::Named)
        }
        _ => field.integer(1..=u16::MAX).map_or(PodPort::Only, PodPort::Number),
    }
}

/// The name of an object, as it may stand in a path of the API.
fn name(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !is_name(text) {
        let message = format!("`{}` = \"{}\" is no name of Kubernetes", field.name(), shorten(text));
        field.error(message).help("it has lower-case letters, digits, `-` and `.`");
        return None;
    }
    Some(text.to_owned())
}

/// DNS labels with dots between them (RFC 1123): what `lb_kube::is_name` takes, which would bring its client along.
fn is_name(name: &str) -> bool {
    let label = |l: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&l.len()) && l.bytes().all(inner) && !l.starts_with('-') && !l.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
