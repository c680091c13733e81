//! Kubernetes as users type it: what it means, and what cannot be.

use lb_config::{
    Config, ConfigError, Discovery, Format, KubernetesApi, KubernetesPods, PodFamily, PodPort, ScaleDriver,
    Secrets, WorkloadKind, load, parse_with,
};
use std::time::Duration;

fn file(pool: &str) -> String {
    format!("[[listeners]]\naddress = \"127.0.0.1:8080\"\n[pools.web]\n{pool}\n")
}

fn read(text: &str) -> Result<Config, ConfigError> {
    let variables = |name: &str| match name {
        "TOKEN" => Some("t0ken".into()),
        "SPACED" => Some("t0ken with spaces".into()),
        _ => None,
    };
    parse_with(text, Format::Toml, "f", &Secrets::new().variables(variables))
}

fn pods(config: &Config) -> &KubernetesPods {
    match &config.pools["web"].discovery {
        Some(Discovery::Kubernetes(pods)) => pods,
        other => panic!("{other:?}"),
    }
}

/// A discovery with these keys.
fn found(keys: &str) -> KubernetesPods {
    let text = file(&format!("discovery = {{ type = \"kubernetes\", service = \"web\"{keys} }}"));
    pods(&read(&text).unwrap_or_else(|e| panic!("{e}"))).clone()
}

const URL: &str = "url = \"https://10.0.0.1:6443\"";

#[test]
fn each_way_to_the_api_is_what_was_typed() {
    let plain = found("");
    assert_eq!((plain.service.as_str(), plain.namespace.as_str()), ("web", "default"));
    assert_eq!(
        (plain.port, plain.family, plain.timeout),
        (PodPort::Only, PodFamily::Either, Duration::from_secs(10))
    );
    assert_eq!((plain.api, found(", api = {}").api), (KubernetesApi::Auto, KubernetesApi::Auto));
    let api = found(", api = { kubeconfig = \"a\", context = \"b\" }").api;
    assert!(
        matches!(api, KubernetesApi::Kubeconfig { path: Some(p), context: Some(c), .. } if p.ends_with("a") && c == "b")
    );
    let api = found(", api = { context = \"b\" }").api;
    assert!(matches!(api, KubernetesApi::Kubeconfig { path: None, context: Some(c), .. } if c == "b"));
    let api = found(&format!(", api = {{ {URL}, token = \"env:TOKEN\", ca = \"ca.pem\" }}")).api;
    let shown = format!("{api:?}");
    assert!(!shown.contains("t0ken") && shown.contains("has_token: true"), "{shown}");
    let KubernetesApi::Url { url, token, ca, .. } = api else { panic!("{api:?}") };
    assert_eq!((url.as_str(), token.as_deref()), ("https://10.0.0.1:6443", Some("t0ken")));
    assert!(ca.is_some_and(|ca| ca.ends_with("ca.pem")));
    assert_eq!(found(", port = \"http\"").port, PodPort::Named("http".into()));
    assert_eq!(found(", port = 8080").port, PodPort::Number(8080));
}

#[test]
fn the_driver_has_the_same_ways_and_files_are_relative_to_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    let api = format!("api = {{ {URL}, ca = \"ca.pem\" }}");
    let text = file(&format!(
        "discovery = {{ type = \"kubernetes\", service = \"web\", api = {{ kubeconfig = \"k.yaml\" }} }}\n\
         autoscale = {{ driver = {{ type = \"kubernetes\", kind = \"statefulset\", name = \"db\", namespace = \"shop\", timeout = \"2s\", \
         retry = {{ tries = 2 }}, {api} }} }}"
    ));
    std::fs::write(&path, text).unwrap();
    let config = load(&path).unwrap_or_else(|e| panic!("{e}"));
    let Some(ScaleDriver::Kubernetes(w)) = config.pools["web"].autoscale.as_ref().map(|a| &a.driver) else {
        panic!("{config:?}")
    };
    assert_eq!((w.kind, w.name.as_str(), w.namespace.as_str()), (WorkloadKind::StatefulSet, "db", "shop"));
    assert_eq!((w.timeout, w.retry.tries), (Duration::from_secs(2), 2));
    let in_folder = |name: &str| Some(folder.path().join(name));
    let KubernetesApi::Url { ca, token: None, .. } = &w.api else { panic!("{:?}", w.api) };
    assert_eq!(*ca, in_folder("ca.pem"));
    let KubernetesApi::Kubeconfig { path, .. } = &pods(&config).api else { panic!("{config:?}") };
    assert_eq!(*path, in_folder("k.yaml"));
}

/// What is typed, what is said, and what it points at.
#[test]
fn each_error_says_what_is_wrong_and_where() {
    let find = |keys: &str| file(&format!("discovery = {{ type = \"kubernetes\", {keys} }}"));
    let api = |keys: &str| find(&format!("service = \"a\", api = {{ {keys} }}"));
    let scale = |keys: &str| {
        file(&format!(
            "discovery = {{ type = \"kubernetes\", service = \"a\" }}\nautoscale = {{ driver = {{ type = \"kubernetes\", {keys} }} }}"
        ))
    };
    for (text, says, at) in [
        (find("port = 80"), "missing key `service`", "discovery"),
        (find("service = \"A_b\""), "`service` = \"A_b\" is no name of Kubernetes", "\"A_b\""),
        (find("service = \"a\", namespace = \"../x\""), "`namespace` = \"../x\" is no name", "\"../x\""),
        (find("service = \"a\", port = 0"), "`port` must be a whole number from 1 to 65535", "0"),
        (find("service = \"a\", port = \"80\""), "`port` must be a whole number from 1 to 65535", "\"80\""),
        (find("service = \"a\", port = \"a b\""), "`port` = \"a b\" is no name of Kubernetes", "\"a b\""),
        (find("service = \"a\", family = \"ipx\""), "`family` must be one of ipv4, ipv6", "\"ipx\""),
        (find("service = \"a\", timeout = \"1ms\""), "`timeout` must be from 10ms to 1h", "\"1ms\""),
        (find("service = \"a\", name = \"b\""), "`name` belongs to discovery by dns", "name"),
        (find("service = \"a\", path = \"b\""), "`path` belongs to discovery by file", "path"),
        (
            file("discovery = { type = \"file\", path = \"a.json\", service = \"a\" }"),
            "`service` belongs to discovery by kubernetes",
            "service",
        ),
        (
            file("discovery = { type = \"file\", path = \"a.json\", port = 80 }"),
            "`port` belongs to discovery by dns",
            "port",
        ),
        (find("service = \"a\", api = \"auto\""), "`api` must be a table", "\"auto\""),
        (api("url = \"10.0.0.1:6443\""), "is no URL of http or https, without a query", "\"10.0.0.1:6443\""),
        (api("url = \"https://a?b\""), "is no URL of http or https, without a query", "\"https://a?b\""),
        (api("url = \"unix:/run/a\""), "is no URL of http or https, without a query", "\"unix:/run/a\""),
        (
            api(&format!("{URL}, kubeconfig = \"a\"")),
            "`kubeconfig` belongs to a kubeconfig, and `url`",
            "kubeconfig",
        ),
        (api("token = \"env:TOKEN\""), "`token` does nothing without `url`", "token"),
        (api("ca = \"a\""), "`ca` does nothing without `url`", "ca"),
        (api("kubeconfig = \"~/k\""), "`kubeconfig`: `~` is not filled in", "\"~/k\""),
        (
            api(&format!("{URL}, token = \"env:NONE\"")),
            "the environment variable NONE is not set",
            "\"env:NONE\"",
        ),
        (api(&format!("{URL}, token = \"env:SPACED\"")), "`token` must be visible ASCII", "\"env:SPACED\""),
        (scale("kind = \"deployment\""), "missing key `name`", "driver"),
        (scale("name = \"A\""), "`name` = \"A\" is no name of Kubernetes", "\"A\""),
        (scale("name = \"a\", kind = \"pod\""), "`kind` must be one of deployment, statefulset", "\"pod\""),
        (scale("name = \"a\", url = \"b\""), "`url` is no key of driver type \"kubernetes\"", "url"),
        (scale("name = \"a\", api = { ca = \"b\" }"), "`ca` does nothing without `url`", "ca"),
        (scale("name = \"a\", retry = { tries = 0 }"), "`tries` must be a whole number", "0"),
        (
            file("autoscale = { driver = { type = \"kubernetes\", name = \"a\" } }"),
            "instances of this driver come by `discovery`",
            "driver",
        ),
    ] {
        let error = read(&text).expect_err(&text);
        let [d] = error.diagnostics() else { panic!("{text}: {error}") };
        assert!(d.message.contains(says), "{text}\nshould say: {says}\nsays: {error}");
        assert_eq!(&text[d.span.clone()], at, "{error}");
        assert!(!error.render(false).contains("t0ken"), "{error}");
    }
}

#[test]
fn a_token_in_the_file_is_hidden_in_messages() {
    let keys = format!("service = \"a\", api = {{ {URL}, token = \"hunter2 x\" }}");
    let error = read(&file(&format!("discovery = {{ type = \"kubernetes\", {keys} }}"))).unwrap_err();
    let shown = format!("{error} {error:?} {}", error.render(false));
    assert!(shown.contains("`token` must be visible ASCII") && !shown.contains("hunter2"), "{shown}");
}
