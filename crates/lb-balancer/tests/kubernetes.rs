//! Discovery of a Kubernetes service's pods, against a stateful mock of the API that is changed with the real kubectl.

use lb_balancer::LoadBalancer;
use lb_balancer::discover::kubernetes::{Cluster, KubernetesDiscovery, KubernetesService};
use lb_testkit::KubernetesApi;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// A slice of a service with these endpoints, each with its conditions.
fn slice(name: &str, service: &str, endpoints: &[(&str, &str)]) -> String {
    let endpoint = |(address, conditions): &(&str, &str)| {
        format!(
            "- {{addresses: ['{address}'], conditions: {{{conditions}}}, targetRef: {{kind: Pod, name: pod-{address}}}}}\n"
        )
    };
    let endpoints: String = endpoints.iter().map(endpoint).collect();
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}
  namespace: shop
  labels: {{kubernetes.io/service-name: {service}}}
addressType: IPv4
ports: [{{name: http, port: 8080, protocol: TCP}}]
endpoints:
{endpoints}"
    )
}

const READY: &str = "ready: true, serving: true, terminating: false";
const ENDING: &str = "ready: false, serving: true, terminating: true";

fn balancer(api: &KubernetesApi) -> LoadBalancer {
    let cluster = Cluster::at(api.url()).timeout(Duration::from_secs(2));
    let service = KubernetesService::new("web").namespace("shop").cluster(cluster);
    LoadBalancer::builder().discover(KubernetesDiscovery::new(service).unwrap()).build().unwrap()
}

/// The last octets and weights of what the pool has.
fn list(lb: &LoadBalancer) -> Vec<(String, u32)> {
    let mut list: Vec<_> = lb
        .all_backends()
        .iter()
        .map(|b| (b.id.as_str().trim_start_matches("10.0.0.").trim_end_matches(":8080").to_owned(), b.weight))
        .collect();
    list.sort();
    list
}

async fn until(lb: &LoadBalancer, expected: &[(&str, u32)]) {
    let expected: Vec<_> = expected.iter().map(|(id, weight)| ((*id).to_owned(), *weight)).collect();
    let seen = async {
        while list(lb) != expected {
            tokio::time::sleep(Duration::from_millis(10)).await; // tidy-allow: sleep: looks again within a bound
        }
    };
    let seen = tokio::time::timeout(LIMIT, seen).await;
    assert!(seen.is_ok(), "{:?} instead of {expected:?}; {:?}", list(lb), lb.discovery_status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_that_kubectl_applies_are_backends() {
    let api = KubernetesApi::start();
    api.apply(&slice("web-1", "web", &[("10.0.0.1", READY), ("10.0.0.2", READY)]));
    api.apply(&slice("other-1", "other", &[("10.0.0.9", READY)]));
    let lb = balancer(&api);
    let _running = lb.start().unwrap();
    until(&lb, &[("1", 1), ("2", 1)]).await;
    let pods: Vec<_> = lb.all_backends().iter().map(|b| b.metadata["pod"].clone()).collect();
    assert!(pods.contains(&"pod-10.0.0.1".to_owned()), "{pods:?}");

    api.apply(&slice("web-2", "web", &[("10.0.0.3", READY), ("10.0.0.1", ENDING)]));
    until(&lb, &[("1", 1), ("2", 1), ("3", 1)]).await;
    api.apply(&slice("web-1", "web", &[("10.0.0.2", READY)]));
    until(&lb, &[("1", 0), ("2", 1), ("3", 1)]).await;
    api.kubectl(&["delete", "endpointslice", "web-2", "--wait=false"]);
    until(&lb, &[("2", 1)]).await;
    // No pods: the slice stays and is empty.
    api.apply(&slice("web-1", "web", &[]).replace("endpoints:\n", "endpoints: []\n"));
    until(&lb, &[]).await;
    let status = &lb.discovery_status()[0];
    assert_eq!((status.source.as_str(), &status.last_error), ("kubernetes service shop/web", &None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_good_list_stays_while_the_api_is_away() {
    let mut api = KubernetesApi::start();
    api.apply(&slice("web-1", "web", &[("10.0.0.1", READY)]));
    let lb = balancer(&api);
    let _running = lb.start().unwrap();
    until(&lb, &[("1", 1)]).await;

    let failed = async |what: &str| {
        let told = async {
            while !lb.discovery_status()[0].last_error.as_ref().is_some_and(|e| e.contains(what)) {
                tokio::time::sleep(Duration::from_millis(10)).await; // tidy-allow: sleep: looks again within a bound
            }
        };
        let told = tokio::time::timeout(LIMIT, told).await;
        assert!(told.is_ok(), "{what}: {:?}", lb.discovery_status());
    };
    api.kill();
    failed("shop/web: ").await;
    assert_eq!(list(&lb), [("1".to_owned(), 1)]);
    // It comes back and knows nothing yet: that is no reason to have no backends.
    api.restart();
    failed("there are no EndpointSlices").await;
    assert_eq!(list(&lb), [("1".to_owned(), 1)]);
    api.apply(&slice("web-1", "web", &[("10.0.0.1", READY), ("10.0.0.4", READY)]));
    until(&lb, &[("1", 1), ("4", 1)]).await;
    let status = &lb.discovery_status()[0];
    assert!(status.last_error.is_none() && status.failures >= 2, "{status:?}");
}
