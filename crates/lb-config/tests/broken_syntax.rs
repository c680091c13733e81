//! Files that are no TOML, YAML or JSON, or whose values have the wrong type: the exact messages.

mod common;

use common::check;
use lb_config::Format::{Json, Toml, Yaml};

#[test]
fn toml_syntax() {
    check(
        Toml,
        "workers 2
[[listeners]
address = 127.0.0.1:8080
",
        "f:1:9: error: key with no value, expected `=`
f:2:13: error: unclosed array table, expected `]`",
    );
}

#[test]
fn toml_unquoted() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
algorithm = random
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:4:13: error: text must stand in quotes
  help: write "random""#,
    );
}

#[test]
fn toml_duplicate_key() {
    check(
        Toml,
        r#"workers = 1
workers = 2
[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        "f:2:1: error: key `workers` is given twice",
    );
}

#[test]
fn toml_date() {
    check(
        Toml,
        r#"workers = 1979-05-27
[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        "f:1:11: error: `workers` must be a whole number from 1 to 1024, not a date",
    );
}

#[test]
fn yaml_syntax() {
    check(
        Yaml,
        r#"listeners: [{ address: "127.0.0.1:8080" }
pools: { web: { backends: [{ url: "http://127.0.0.1:9001" }] } }
"#,
        "f:2:6: error: illegal placement of ':' indicator",
    );
}

#[test]
fn yaml_tab() {
    check(
        Yaml,
        "listeners:\n\t- address: \"127.0.0.1:8080\"\n",
        "f:2:2: error: tabs disallowed within this context (block indentation)",
    );
}

#[test]
fn yaml_duplicate_key() {
    check(
        Yaml,
        r#"workers: 1
listeners: [{ address: "127.0.0.1:8080" }]
pools: { web: { backends: [{ url: "http://127.0.0.1:9001" }] } }
workers: 2
"#,
        "f:4:1: error: key `workers` is given twice",
    );
}

#[test]
fn yaml_tag_and_merge() {
    check(
        Yaml,
        r#"workers: !!int 2
listeners: [{ address: "127.0.0.1:8080" }]
pools: { web: { backends: [{ url: "http://127.0.0.1:9001" }] } }
"#,
        "f:1:16: error: YAML tags are not supported, but for !!str",
    );
}

#[test]
fn yaml_merge() {
    check(
        Yaml,
        r#"a: &a { address: "127.0.0.1:1" }
listeners:
  - <<: *a
"#,
        "f:3:5: error: YAML merge keys (<<) are not supported",
    );
}

#[test]
fn yaml_two_documents() {
    check(
        Yaml,
        r#"listeners: [{ address: "127.0.0.1:8080" }]
pools: { web: { backends: [{ url: "http://127.0.0.1:9001" }] } }
---
workers: 1
"#,
        "f:3:1: error: the file holds more than one YAML document",
    );
}

#[test]
fn yaml_boolean_of_1_1() {
    check(
        Yaml,
        r#"listeners: [{ address: "127.0.0.1:8080" }]
pools:
  web:
    preserve_host: no
    backends:
      - url: http://127.0.0.1:9001
        metadata: { version: 2.10 }
"#,
        r#"f:4:20: error: `preserve_host` must be true or false, not "no"
  help: write false
f:7:30: error: `metadata.version` must be a text, not 2.10
  help: put it in quotes: "2.10""#,
    );
}

#[test]
fn yaml_billion_laughs() {
    check(
        Yaml,
        "a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]
g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f]
h: &h [*g, *g, *g, *g, *g, *g, *g, *g, *g, *g]
",
        "f:6:16: error: aliases make the file larger than 500000 values",
    );
}

#[test]
fn yaml_alias_of_itself() {
    check(
        Yaml,
        "a: &a [*a]
",
        "f:1:8: error: this alias stands inside what it names",
    );
}

#[test]
fn yaml_root_is_list() {
    check(
        Yaml,
        "- 1
",
        "f:1:1: error: the file must be a table, not a list",
    );
}

#[test]
fn json_syntax() {
    check(
        Json,
        r#"{
  "workers": 2,
}
"#,
        "f:2:15: error: trailing commas are not allowed",
    );
}

#[test]
fn json_comment() {
    check(
        Json,
        r#"{ "workers": 2 // two
}"#,
        "f:1:16: error: comments are not allowed",
    );
}

#[test]
fn json_empty() {
    check(
        Json,
        "",
        "f:1:1: error: the file is empty
  help: write at least { }",
    );
}

#[test]
fn json_duplicate_key() {
    check(
        Json,
        r#"{ "workers": 1, "workers": 2,
  "listeners": [{ "address": "127.0.0.1:8080" }],
  "pools": { "web": { "backends": [{ "url": "http://127.0.0.1:9001" }] } } }"#,
        "f:1:17: error: key `workers` is given twice",
    );
}

#[test]
fn json_wrong_types() {
    check(
        Json,
        r#"{
  "workers": "two",
  "listeners": { "address": "127.0.0.1:8080" },
  "pools": { "web": { "preserve_host": 1, "backends": ["http://127.0.0.1:9001"] } }
}"#,
        r#"f:2:14: error: `workers` must be a whole number from 1 to 1024, not "two"
f:3:16: error: `listeners` must be a list, not a table
f:4:40: error: `preserve_host` must be true or false, not 1
  help: write true
f:4:56: error: each item of `backends` must be a table, not "http://127.0.0.1:9001""#,
    );
}

#[test]
fn json_too_deep() {
    check(
        Json,
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "f:1:66: error: tables and lists are nested more than 64 deep",
    );
}

#[test]
fn nulls() {
    check(
        Json,
        r#"{ "workers": null,
  "listeners": [{ "address": "127.0.0.1:8080" }],
  "pools": { "web": { "backends": [{ "url": null }] } } }"#,
        "f:1:14: error: `workers` must be a whole number from 1 to 1024, not nothing (null)
  help: leave the key out to get its default
f:3:45: error: `url` must be a text, not nothing (null)",
    );
}
