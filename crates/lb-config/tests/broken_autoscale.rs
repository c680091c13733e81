//! Auto-scaling that cannot be: each error says where and why.

use lb_config::{Format, parse};

const DRIVER: &str = "driver = { type = \"process\", command = [\"a\", \"{port}\"] }";

/// The errors of a pool with these keys.
fn errors(pool: &str) -> String {
    let text = format!("[[listeners]]\naddress = \"127.0.0.1:8080\"\n[pools.web]\n{pool}\n");
    match parse(&text, Format::Toml, "f") {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn each_says_what_is_wrong() {
    let listed = "backends = [{ id = \"web-1\", url = \"http://127.0.0.1:1\" }]";
    let scaled = |keys: &str| format!("autoscale = {{ {keys} }}");
    for (pool, says) in [
        (scaled(""), "missing key `driver`"),
        (
            scaled("driver = { type = \"docker\" }"),
            "`type` must be one of process, exec, webhook, kubernetes, not \"docker\"",
        ),
        (scaled("driver = { type = \"process\" }"), "missing key `command`"),
        (
            scaled("driver = { type = \"process\", command = [\"a\", \"{prot}\"] }"),
            "{prot} is none of {id} {host} {port}",
        ),
        (
            scaled("driver = { type = \"process\", command = [\"a\"], url = \"http://a\" }"),
            "`url` is no key of driver type \"process\"",
        ),
        (
            scaled("driver = { type = \"process\", command = [\"a\"], orphans = \"stay\" }"),
            "needs a state_file",
        ),
        (scaled("driver = { type = \"process\", command = [\"a\"], ports = [9, 8] }"), "`ports` = (9, 8)"),
        (
            scaled(&format!("min_instances = 5, max_instances = 4, {DRIVER}")),
            "`max_instances` = 4: must be at least min_instances, 5",
        ),
        (scaled(&format!("max_instances = 501, {DRIVER}")), "`process` makes at most 500 instances"),
        (scaled(&format!("min_instances = 0, {DRIVER}")), "`min_instances` = 0 needs `queuing`"),
        (scaled(&format!("metric = \"in-flight\", {DRIVER}")), "is a percent of `max_connections`"),
        (
            scaled(&format!("scale_down_threshold = 80, {DRIVER}")),
            "`scale_down_threshold` = 80.0: must be 0 or more and below",
        ),
        (
            scaled(&format!("scale_up_threshold = 80, target = {{ value = 60 }}, {DRIVER}")),
            "`scale_up_threshold` does nothing with `target`",
        ),
        (
            format!("{listed}\n{}", scaled("driver = { type = \"exec\", command = [\"a\"] }")),
            "come by `discovery`",
        ),
        (format!("{listed}\n{}", scaled(DRIVER)), "backend \"web-1\" has a name that instances get"),
        (
            format!("{}\ninstance_template = {{ url = \"http://127.0.0.1:80\" }}", scaled(DRIVER)),
            "must contain {port}",
        ),
        (
            format!("{}\ninstance_template = {{ url = \"http://a:{{prot}}\" }}", scaled(DRIVER)),
            "{prot} is none of {id} {host} {port}",
        ),
        (
            format!("{listed}\ninstance_template = {{}}"),
            "`instance_template` does nothing without `autoscale`",
        ),
        (format!("{listed}\nauto_scaler = {{}}"), "did you mean `autoscale`?"),
        (scaled(&format!("enabled = false, {DRIVER}")), "has no backends"),
    ] {
        let said = errors(&pool);
        assert!(said.contains(says), "{pool}\nshould say: {says}\nsays: {said}");
    }
    assert_eq!(errors(&scaled(DRIVER)), "");
}

#[test]
fn what_is_wrong_with_a_target_is_told_at_its_key() {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:8080\"\n[pools.web.autoscale]\nmetrics_window = \"5s\"\n{DRIVER}\n[pools.web.autoscale.target]\n\
         value = 60\nrise_window = \"10s\"\n"
    );
    let error = parse(&text, Format::Toml, "f").unwrap_err();
    let [d] = error.diagnostics() else { panic!("{error}") };
    assert_eq!(d.message, "`rise_window` = 10s: must be at most metrics_window, 5s");
    assert_eq!((d.line, &text[d.span.clone()]), (8, "\"10s\""), "{error}");
}
