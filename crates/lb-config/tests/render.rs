//! How errors look with the lines that they are about.

use lb_config::{ConfigError, Format, parse};

fn error(text: &str) -> ConfigError {
    parse(text, Format::Toml, "edge-lb.toml").unwrap_err()
}

#[test]
fn every_error_shows_its_line_and_its_help() {
    let text = "[[listeners]]\naddress = \"localhost:8080\"\n\n[pools.web]\nhelth_check = {}\n\
                backends = [{ url = \"http://127.0.0.1:9001\", weight = \"größer\" }]\n";
    let wanted = r#"error: bad address "localhost:8080": a name cannot be listened on
 --> edge-lb.toml:2:11
  |
2 | address = "localhost:8080"
  |           ^^^^^^^^^^^^^^^^
  |
  = help: did you mean "127.0.0.1:8080"?

error: unknown key `helth_check`
 --> edge-lb.toml:5:1
  |
5 | helth_check = {}
  | ^^^^^^^^^^^
  |
  = help: did you mean `health_check`?

error: `weight` must be a whole number from 0 to 4294967295, not "größer"
 --> edge-lb.toml:6:55
  |
6 | backends = [{ url = "http://127.0.0.1:9001", weight = "größer" }]
  |                                                       ^^^^^^^^
"#;
    let error = error(text);
    assert_eq!(error.render(false), wanted);
    assert!(error.render(true).contains('\u{1b}'), "colour is ANSI");
    assert!(!error.render(false).contains('\u{1b}'), "plain is plain");
}

#[test]
fn columns_count_characters_and_spans_count_bytes() {
    let text = "listeners = [{ address = \"127.0.0.1:1\" }]\npools.web = { \"ключ\" = 1, backends = [{ url = \"http://a\" }] }\n";
    let error = error(text);
    let d = &error.diagnostics()[0];
    assert_eq!((d.line, d.column, &text[d.span.clone()]), (2, 15, "\"ключ\""));
    let missing = self::error(
        "listeners = [{ address = \"127.0.0.1:1\" }]\npools.web = { x = \"é\", backends = [{}] }",
    );
    assert_eq!(missing.diagnostics()[1].column, 36, "{missing}");
}

#[test]
fn an_error_at_the_end_and_a_very_long_line_are_shown_without_an_excerpt_of_everything() {
    let end = parse("{", Format::Json, "a.json").unwrap_err();
    assert!(end.render(false).contains("a.json:1:"), "{}", end.render(false));
    let long = format!("xyzzy = \"{}\"\n", "x".repeat(100_000));
    let rendered = error(&long).render(false);
    assert!(rendered.contains("error: unknown key `xyzzy`\n") && rendered.len() < 2_000, "{rendered}");
    assert!(rendered.contains("edge-lb.toml:1:1"), "{rendered}");
}

#[test]
fn more_errors_than_anyone_reads_are_counted() {
    let keys: String = (0..250).map(|i| format!("unknown_{i} = 1\n")).collect();
    let error = error(&keys);
    assert_eq!(error.diagnostics().len(), 100);
    // 250 unknown keys, no listeners, no pools.
    assert!(error.to_string().ends_with("\n… and 152 more errors"), "{error}");
    assert!(error.render(false).ends_with("\n… and 152 more errors\n"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_move_nothing() {
    let error = error(
        "\u{feff}workers = 0\r\n[[listeners]]\r\naddress = \"127.0.0.1:1\"\r\n[pools.a]\r\nbackends = [{ url = \"http://a\" }]\r\n",
    );
    assert_eq!(
        error.to_string(),
        "edge-lb.toml:1:11: error: `workers` must be a whole number from 1 to 1024, not 0"
    );
    assert!(error.render(false).contains("1 | workers = 0\n"), "{}", error.render(false));
}
