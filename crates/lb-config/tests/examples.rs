//! The shipped examples: the three formats say the same.

use lb_config::{Config, Discovery, DnsRecord, Format, ListenAddress, load, parse_backends};
use lb_core::settings::{Algorithm, LeastResponseTime, Locality};
use lb_health::CheckKind;
use lb_health::outlier::Comparison;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn loaded(name: &str) -> Config {
    load(&example(name)).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

#[test]
fn the_three_formats_resolve_to_the_same() {
    let toml = loaded("full.toml");
    assert_eq!(toml, loaded("full.yaml"));
    assert_eq!(toml, loaded("full.json"));
}

#[test]
fn the_full_example_resolves_to_what_it_says() {
    let c = loaded("full.toml");
    assert_eq!(c.workers, Some(2));
    assert_eq!(c.listeners.len(), 2);
    assert_eq!(c.listeners[0].idle_timeout, Duration::from_secs(75));
    assert_eq!(c.listeners[0].max_header_bytes, 65_536);
    assert_eq!(c.listeners[1].address, ListenAddress::Unix("/run/edge-lb/http.sock".into()));
    assert_eq!(c.admin.unwrap().address.to_string(), "127.0.0.1:9900");
    let p = &c.pools["users"];
    let wanted = LeastResponseTime { samples: 20, window: Duration::from_secs(60) };
    assert_eq!(p.settings.algorithm, Algorithm::LeastResponseTime(wanted));
    assert_eq!(p.settings.locality, Some(Locality { zone: "a".into() }));
    assert_eq!(p.settings.subset["version"], "2.1.0");
    assert_eq!(p.total_timeout, Some(Duration::from_secs(300)));
    let Some(Discovery::Dns { name, port: 8080, record: DnsRecord::Address, interval: None }) = &p.discovery
    else {
        panic!("{:?}", p.discovery)
    };
    assert_eq!(name, "users.internal.");
    let CheckKind::Http(http) = &p.health_check.as_ref().unwrap().kind else { panic!("not http") };
    assert_eq!(http.expected_status, [200..=201, 300..=399]);
    assert_eq!(http.headers[0].0, "User-Agent", "the default stays beside what is added");
    assert_eq!(http.headers[1].0, "Authorization");
    let o = p.outlier_detection.as_ref().unwrap();
    assert_eq!((o.consecutive_failures, o.consecutive_gateway_failures, o.max_ejection_percent), (5, 3, 50));
    assert_eq!((o.comparison, o.success_rate), (Some(Comparison::default()), None));
    assert_eq!(o.failure_percentage.unwrap().minimum_hosts, 2);
    assert_eq!(p.backends[0].url.base_path(), "/api");
    assert_eq!((p.backends[0].weight, p.backends[0].max_connections), (2, Some(50)));
    assert!(p.backends[1].backup);
    assert_eq!(p.backends[1].health_check.as_ref().unwrap().path.as_deref(), Some("/ready"));
}

#[test]
fn files_are_relative_to_the_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yml");
    let text = "listeners: [{address: '127.0.0.1:0'}]\npools: {p: {discovery: {type: file, path: b/c.json}, health_check: {type: https, tls: {ca: ca.pem}}}}";
    std::fs::write(&path, text).unwrap();
    let config = load(&path).unwrap_or_else(|e| panic!("{e}"));
    let found = config.pools["p"].discovery.clone();
    assert_eq!(found, Some(Discovery::File { path: folder.path().join("b/c.json") }));
    let check = config.pools["p"].health_check.as_ref().unwrap();
    assert_eq!(check.tls.ca, Some(folder.path().join("ca.pem")));
}

#[test]
fn files_of_backends_are_read_in_every_format() {
    let toml = "[[backends]]\nurl = \"http://10.0.0.1:80\"\nweight = 3\n";
    let yaml = "- url: http://10.0.0.1:80\n  weight: 3\n";
    let json = r#"{"backends": [{"url": "http://10.0.0.1:80", "weight": 3}]}"#;
    let backends = parse_backends(toml, Format::Toml, "b.toml").unwrap();
    assert_eq!((backends[0].id.as_str(), backends[0].weight), ("10.0.0.1:80", 3));
    assert_eq!(parse_backends(yaml, Format::Yaml, "b.yaml"), Ok(backends.clone()));
    assert_eq!(parse_backends(json, Format::Json, "b.json"), Ok(backends));
    assert_eq!(parse_backends("backends = []", Format::Toml, "b.toml"), Ok(vec![]));
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = load(&path).unwrap_err();
        assert!(error.render(true).contains(error.diagnostics()[0].message.as_str()));
        error.to_string().replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        error("a.conf", b""),
        "a.conf: error: the file's extension does not tell its format\n  help: name it .toml, .yaml, .yml or .json"
    );
    assert_eq!(
        error("a.toml", b"workers = 1\n# \xff"),
        "a.toml: error: the file is not UTF-8 text: byte 15 of it, on line 2"
    );
    let large = vec![b'#'; lb_config::FILE_BYTES_MAX + 1];
    assert_eq!(error("b.toml", &large), "b.toml: error: the file is larger than 16 MiB");
    let missing = load(&folder.path().join("c.toml")).unwrap_err().to_string();
    assert!(
        missing.ends_with("c.toml: error: the file cannot be read: No such file or directory (os error 2)")
    );
    let directory = folder.path().join("d.toml");
    std::fs::create_dir(&directory).unwrap();
    assert!(load(&directory).unwrap_err().to_string().contains("the file cannot be read: "));
}

#[test]
fn the_longest_ejection_follows_a_longer_base() {
    let pool = |keys: &str| {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[pools.p]\noutlier_detection = {{ {keys} }}\n\
             backends = [{{ url = \"http://127.0.0.1:1\" }}]"
        );
        let config = lb_config::parse(&text, Format::Toml, "a.toml").unwrap_or_else(|e| panic!("{e}"));
        config.pools["p"].outlier_detection.clone()
    };
    let longest = |keys: &str| {
        let o = pool(keys).unwrap();
        assert_eq!(o.validate(), Ok(()), "what the file allows, lb-health allows");
        o.max_ejection_time.as_secs()
    };
    assert_eq!(longest(""), 300);
    assert_eq!(longest("base_ejection_time = \"10m\""), 600);
    assert_eq!(longest("base_ejection_time = \"1m\", max_ejection_time = \"1m\""), 60);
    let edges = "consecutive_failures = 1000, jitter_percent = 100, max_ejection_percent = 100, interval = \"10ms\", \
                 base_ejection_time = \"1d\", \
                 comparison = { false_alarm_rate = 0.000000001, minimum_requests = 1000000, minimum_ratio = 100, intervals = 60 }, \
                 success_rate = { stdev_factor = 0.1, minimum_hosts = 10000 }, failure_percentage = { threshold = 1 }";
    assert_eq!(longest(edges), 86_400);
    assert_eq!(pool("enabled = false"), None);
}
