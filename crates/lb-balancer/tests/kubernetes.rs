//! Discovery of a Kubernetes service's pods, against a stateful mock of the API that is changed with the real kubectl.

use lb_balancer::LoadBalancer;
use lb_balancer::discover::kubernetes::{Access, Cluster, KubernetesDiscovery, KubernetesService};
use lb_testkit::{Answer, Backend, KubernetesApi, Reply, Step};
use std::sync::Mutex;
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

/// What kmock lacks: versions. A watch goes on from the last one, a list comes in pages, and a version that is too old means to list again.
#[test]
fn a_watch_goes_on_where_it_was_and_lists_again_when_that_is_too_old() {
    fn object(name: &str, version: &str, address: &str) -> String {
        let metadata = format!(
            r#"{{"name":"{name}","namespace":"shop","resourceVersion":"{version}","labels":{{"kubernetes.io/service-name":"web"}}}}"#
        );
        format!(
            r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{metadata},"addressType":"IPv4","ports":[{{"port":8080}}],"endpoints":[{{"addresses":["{address}"]}}]}}"#
        )
    }
    let page = |version: &str, next: &str, item: String| {
        let metadata = format!(r#"{{"resourceVersion":"{version}","continue":"{next}"}}"#);
        Answer::ok(format!(
            r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSliceList","metadata":{metadata},"items":[{item}]}}"#
        ))
    };
    let event = |kind: &str, object: String| format!(r#"{{"type":"{kind}","object":{object}}}"#) + "\n";
    let mark =
        r#"{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"resourceVersion":"9"}}"#;
    let gone = r#"{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"too old"}"#;
    let answers = [
        page("5", "more", object("s1", "3", "10.0.0.1")),
        page("5", "", object("s2", "4", "10.0.0.2")),
        Answer::ok(event("ADDED", object("s3", "7", "10.0.0.3")) + &event("BOOKMARK", mark.to_owned())),
        Answer::ok(event("ERROR", gone.to_owned())),
        page("20", "", object("s4", "19", "10.0.0.4")),
    ];
    let answers = Mutex::new(answers.into_iter());
    let server = Backend::with("api", move |_| match answers.lock().unwrap().next() {
        Some(answer) => Reply::answer(answer.header("content-type", "application/json")),
        // Nothing happens any more.
        None => Reply::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").then(Step::Hang),
    });
    let access = Access::Url { url: server.url(), token: Some("secret".into()), ca_file: None };
    let service = KubernetesService::new("web").namespace("shop").cluster(Cluster::new(access));
    let lb = LoadBalancer::builder().discover(KubernetesDiscovery::new(service).unwrap()).build().unwrap();
    // Not an async test: the scripted server has a runtime of its own, which must not end within another.
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let _running = lb.start().unwrap();
        until(&lb, &[("1", 1), ("2", 1), ("3", 1)]).await;
        until(&lb, &[("4", 1)]).await;
    });
    let wanted: [&[&str]; 5] = [
        &["limit=500"],
        &["continue=more"],
        &["watch=true", "resourceVersion=5&", "allowWatchBookmarks=true", "timeoutSeconds=120"],
        &["watch=true", "resourceVersion=9&"],
        &["limit=500"],
    ];
    let requests = server.requests();
    for (request, wanted) in requests.iter().zip(wanted) {
        let target = format!("{}&", request.head.target);
        assert!(target.starts_with("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?"), "{target}");
        for part in wanted.iter().chain(&["labelSelector=kubernetes.io%2Fservice-name%3Dweb"]) {
            assert!(target.contains(part), "{target} has no {part}");
        }
        assert_eq!(request.head.headers.get("authorization"), Some("Bearer secret"));
    }
    assert_eq!(lb.discovery_status()[0].failures, 0, "a version that is too old is nobody's failure");
}
