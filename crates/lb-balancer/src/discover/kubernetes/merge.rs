//! What a service's EndpointSlices amount to.

use super::{AddressFamily, DiscoverError, KubernetesService, PodPort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use lb_types::{Backend, Scheme};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// How an endpoint stands. The better one counts where two slices tell of the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It ends, and still answers.
    Draining,
    /// It takes requests.
    Ready,
}

/// The backends that a service's slices amount to, in the order of their ids. Slices of a family that is not wanted are left out.
///
/// - Ready: a backend of weight 1.
/// - Terminating and still serving: weight 0, which gets no new traffic and keeps its sessions. Where no endpoint is ready, those get the traffic:
///   weight 1, as kube-proxy does it.
/// - Neither: no backend.
///
/// Ids are `ADDRESS:PORT`; metadata has `service`, and `pod`, `node`, `zone` where known. Two slices may tell of one endpoint while it moves between them:
/// it is one backend, and the better word counts. Of a pod with both families see [`AddressFamily`].
///
/// # Errors
/// A slice does not have the port that was asked for, or it has to be said which of several is meant; a port that is none, or an address
/// that is none.
pub fn merge<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    service: &KubernetesService,
) -> Result<Vec<Backend>, DiscoverError> {
    let mut found: BTreeMap<SocketAddr, (Standing, &Endpoint)> = BTreeMap::new();
    for slice in slices {
        let wanted = match slice.address_type.as_str() {
            "IPv4" => service.family != AddressFamily::Ipv6,
            "IPv6" => service.family != AddressFamily::Ipv4,
            // A name, or what the future brings.
            _ => false,
        };
        let endpoints = slice.endpoints.iter().filter_map(|e| Some((standing(e)?, e)));
        let mut endpoints = endpoints.filter(|_| wanted).peekable();
        // A slice without endpoints need not have the port: that of a service without pods has none.
        if endpoints.peek().is_none() {
            continue;
        }
        let port = port(slice, &service.port)?;
        for (standing, endpoint) in endpoints {
            // All addresses of one are the same to callers; there is one.
            let Some(text) = endpoint.addresses.first() else { continue };
            let ip: IpAddr = text.parse().map_err(|_| wrong(slice, &format!("address {text:?} is none")))?;
            let known = found.entry(SocketAddr::new(ip, port)).or_insert((standing, endpoint));
            if standing > known.0 {
                *known = (standing, endpoint);
            }
        }
    }
    if service.family == AddressFamily::Either {
        let pods: BTreeSet<&str> =
            found.iter().filter(|(at, _)| at.is_ipv4()).filter_map(|(_, (_, e))| uid(e)).collect();
        found.retain(|at, (_, e)| at.is_ipv4() || !uid(e).is_some_and(|uid| pods.contains(uid)));
    }
    let any_ready = found.values().any(|(standing, _)| *standing == Standing::Ready);
    let backends = found.into_iter().map(|(at, (standing, endpoint))| {
        backend(at, endpoint, service).weight(u32::from(standing == Standing::Ready || !any_ready))
    });
    Ok(backends.collect())
}

/// `None`: it takes nothing. What is not said means what the API's documentation says.
fn standing(endpoint: &Endpoint) -> Option<Standing> {
    let conditions = endpoint.conditions.as_ref();
    let said = |pick: fn(&k8s_openapi::api::discovery::v1::EndpointConditions) -> Option<bool>| {
        conditions.and_then(pick)
    };
    let ready = said(|c| c.ready).unwrap_or(true);
    match said(|c| c.terminating).unwrap_or(false) {
        false => ready.then_some(Standing::Ready),
        true => said(|c| c.serving).unwrap_or(ready).then_some(Standing::Draining),
    }
}

fn port(slice: &EndpointSlice, wanted: &PodPort) -> Result<u16, DiscoverError> {
    if let PodPort::Number(port) = wanted {
        return Ok(*port);
    }
    let tcp = |p: &&EndpointPort| p.protocol.as_deref().is_none_or(|p| p == "TCP");
    let mut ports: Vec<&EndpointPort> = slice.ports.iter().flatten().filter(tcp).collect();
    if let PodPort::Named(name) = wanted {
        ports.retain(|p| p.name.as_deref() == Some(name));
    }
    let number = match (ports.as_slice(), wanted) {
        ([one], _) => one.port,
        ([], PodPort::Named(name)) => return Err(wrong(slice, &format!("no TCP port is called {name:?}"))),
        ([], _) => return Err(wrong(slice, "it has no TCP port: say a number")),
        (several, _) => {
            let names: Vec<&str> = several.iter().filter_map(|p| p.name.as_deref()).collect();
            return Err(wrong(slice, &format!("say which of its ports: {}", names.join(", "))));
        }
    };
    let number = number.and_then(|n| u16::try_from(n).ok()).filter(|&n| n > 0);
    number.ok_or_else(|| wrong(slice, "its port has no number"))
}

fn wrong(slice: &EndpointSlice, what: &str) -> DiscoverError {
    let name = slice.metadata.name.as_deref().unwrap_or_default();
    DiscoverError::Content(format!("EndpointSlice {name:?}: {what}"))
}

/// Which pod it is.
fn uid(endpoint: &Endpoint) -> Option<&str> {
    endpoint.target_ref.as_ref()?.uid.as_deref()
}

fn backend(at: SocketAddr, endpoint: &Endpoint, service: &KubernetesService) -> Backend {
    let scheme = if service.scheme == Scheme::Https { "https" } else { "http" };
    let url = format!("{scheme}://{at}").parse().expect("a socket address is an authority");
    let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.as_ref());
    let mut backend = Backend::new(at.to_string(), url).metadata("service", service.name.as_str());
    for (name, value) in
        [("pod", pod), ("node", endpoint.node_name.as_ref()), ("zone", endpoint.zone.as_ref())]
    {
        if let Some(value) = value {
            backend = backend.metadata(name, value);
        }
    }
    backend
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ObjectReference;
    use k8s_openapi::api::discovery::v1::EndpointConditions;

    fn endpoint(address: &str, said: [Option<bool>; 3]) -> Endpoint {
        let [ready, serving, terminating] = said;
        let conditions = Some(EndpointConditions { ready, serving, terminating });
        Endpoint { addresses: vec![address.to_owned()], conditions, ..Endpoint::default() }
    }

    const READY: [Option<bool>; 3] = [Some(true), Some(true), Some(false)];
    const STARTING: [Option<bool>; 3] = [Some(false), Some(false), Some(false)];
    const ENDING: [Option<bool>; 3] = [Some(false), Some(true), Some(true)];
    const ENDED: [Option<bool>; 3] = [Some(false), Some(false), Some(true)];

    fn named(name: &str, port: i32) -> EndpointPort {
        EndpointPort {
            name: Some(name.to_owned()),
            port: Some(port),
            protocol: Some("TCP".to_owned()),
            ..EndpointPort::default()
        }
    }

    fn slice(address_type: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
        let mut slice = EndpointSlice {
            address_type: address_type.to_owned(),
            endpoints,
            ports: Some(vec![named("http", 8080)]),
            ..EndpointSlice::default()
        };
        slice.metadata.name = Some("web-x".to_owned());
        slice
    }

    fn shown(slices: &[EndpointSlice], service: &KubernetesService) -> Result<Vec<String>, String> {
        let shown = |b: &Backend| format!("{} {} {}", b.id, b.url, b.weight);
        merge(slices, service).map(|list| list.iter().map(shown).collect()).map_err(|e| e.to_string())
    }

    fn web() -> KubernetesService {
        KubernetesService::new("web")
    }

    #[test]
    fn all_slices_are_one_list_and_the_better_word_counts() {
        let slices = [
            slice("IPv4", vec![endpoint("10.0.0.2", READY), endpoint("10.0.0.1", ENDING)]),
            slice("IPv4", vec![endpoint("10.0.0.1", READY), endpoint("10.0.0.3", [None; 3])]),
            slice("FQDN", vec![endpoint("a.example", READY)]),
            slice("IPv4", vec![]),
        ];
        let expected = ["1", "2", "3"].map(|n| format!("10.0.0.{n}:8080 http://10.0.0.{n}:8080 1"));
        assert_eq!(shown(&slices, &web()).unwrap(), expected, "what is not said is ready");
    }

    #[test]
    fn who_ends_gets_nothing_new_unless_nobody_else_is_there() {
        let all = vec![
            endpoint("10.0.0.1", READY),
            endpoint("10.0.0.2", STARTING),
            endpoint("10.0.0.3", ENDING),
            endpoint("10.0.0.4", ENDED),
        ];
        let got = shown(&[slice("IPv4", all.clone())], &web()).unwrap();
        assert_eq!(got, ["10.0.0.1:8080 http://10.0.0.1:8080 1", "10.0.0.3:8080 http://10.0.0.3:8080 0"]);
        let got = shown(&[slice("IPv4", all[1..].to_vec())], &web()).unwrap();
        assert_eq!(got, ["10.0.0.3:8080 http://10.0.0.3:8080 1"]);
        assert!(shown(&[slice("IPv4", vec![all[1].clone(), all[3].clone()])], &web()).unwrap().is_empty());
    }

    #[test]
    fn ports_are_found_by_name_or_number() {
        let mut two = slice("IPv4", vec![endpoint("10.0.0.1", READY)]);
        let udp = EndpointPort { protocol: Some("UDP".to_owned()), ..named("dns", 53) };
        two.ports = Some(vec![named("http", 8080), named("admin", 9000), udp]);
        let with = |port: PodPort| shown(std::slice::from_ref(&two), &web().port(port));
        let at = |port: u16| Ok(vec![format!("10.0.0.1:{port} http://10.0.0.1:{port} 1")]);
        assert_eq!(with(PodPort::Named("admin".into())), at(9000));
        assert_eq!(with(PodPort::Number(7)), at(7));
        let wrong = |what: &str| Err(format!("EndpointSlice \"web-x\": {what}"));
        assert_eq!(with(PodPort::Only), wrong("say which of its ports: http, admin"));
        assert_eq!(with(PodPort::Named("dns".into())), wrong("no TCP port is called \"dns\""));
        for (ports, what) in [
            (None, "it has no TCP port: say a number"),
            (Some(vec![named("", 70_000)]), "its port has no number"),
            (Some(vec![named("", 0)]), "its port has no number"),
        ] {
            let odd = EndpointSlice { ports, ..two.clone() };
            assert_eq!(shown(std::slice::from_ref(&odd), &web()), wrong(what));
            let empty = EndpointSlice { endpoints: vec![], ..odd };
            assert_eq!(shown(&[empty], &web()), Ok(vec![]), "who has no pods needs no port");
        }
        let bad = slice("IPv4", vec![endpoint("10.0.0", READY)]);
        assert_eq!(shown(&[bad], &web()), wrong("address \"10.0.0\" is none"));
    }

    #[test]
    fn a_pod_with_two_families_is_one_backend() {
        let of = |address: &str, uid: &str| {
            let target = ObjectReference {
                uid: Some(uid.to_owned()),
                name: Some(format!("web-{uid}")),
                ..ObjectReference::default()
            };
            Endpoint { target_ref: Some(target), zone: Some("z1".to_owned()), ..endpoint(address, READY) }
        };
        let slices = [
            slice("IPv6", vec![of("fd00::1", "a"), of("fd00::2", "b")]),
            slice("IPv4", vec![of("10.0.0.1", "a")]),
        ];
        let ids = |family| -> Vec<String> {
            let list = merge(&slices, &web().family(family)).unwrap();
            list.iter().map(|b| b.id.to_string()).collect()
        };
        assert_eq!(ids(AddressFamily::Either), ["10.0.0.1:8080", "[fd00::2]:8080"]);
        assert_eq!(ids(AddressFamily::Ipv4), ["10.0.0.1:8080"]);
        assert_eq!(ids(AddressFamily::Ipv6), ["[fd00::1]:8080", "[fd00::2]:8080"]);
        let first = &merge(&slices, &web().scheme(Scheme::Https)).unwrap()[0];
        assert_eq!(first.url.to_string(), "https://10.0.0.1:8080");
        let metadata: Vec<_> = first.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(metadata, ["pod=web-a", "service=web", "zone=z1"]);
    }

    #[test]
    fn settings_name_field_and_value() {
        let error = |s: KubernetesService| s.validate().unwrap_err().to_string();
        assert!(error(KubernetesService::new("Web")).starts_with("name = \"Web\": "));
        assert!(error(web().namespace("a/b")).starts_with("namespace = \"a/b\": "));
        assert!(error(web().port(PodPort::Number(0))).starts_with("port = 0: "));
        assert!(error(web().port(PodPort::Named(String::new()))).starts_with("port = \"\": "));
        assert_eq!(web().namespace("shop").port(PodPort::Named("http".into())).validate(), Ok(()));
    }
}
