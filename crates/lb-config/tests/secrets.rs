//! Secrets from the environment and from files, and that none is ever shown.

use lb_config::{Config, ConfigError, Format, Secrets, Store, load, parse_with};
use lb_session::Secret;

const SECRET: &str = "correct horse battery";

fn file(secret: &str) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[pools.web]\nbackends = [{{ url = \"http://127.0.0.1:9001\" }}]\n\
         session_affinity = {{ type = \"cookie\", secret = {secret} }}\n"
    )
}

fn resolve(text: &str) -> Result<Config, ConfigError> {
    let variables = |name: &str| match name {
        "GOOD" => Some(SECRET.into()),
        "URL" => Some("redis://:hunter2@127.0.0.1".into()),
        "BAD_URL" => Some("redis://:hunter2@".into()),
        "SHORT" => Some("hunter2".into()),
        "EMPTY" => Some("".into()),
        _ => None,
    };
    parse_with(text, Format::Toml, "f", &Secrets::new().variables(variables))
}

fn secrets(config: &Config) -> &[Secret] {
    &config.pools["web"].session_affinity.as_ref().unwrap().settings.secret
}

#[test]
fn the_environment_and_files_are_read() {
    let wanted = Secret::new(SECRET).unwrap();
    let literal = Secret::new("a literal of some length").unwrap();
    let config = resolve(&file("[\"env:GOOD\", \"a literal of some length\"]")).unwrap();
    assert_eq!(secrets(&config), [wanted.clone(), literal]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), format!("{SECRET}\r\n")).unwrap();
    std::fs::write(folder.path().join("a.toml"), file("\"file:key\"")).unwrap();
    let config = load(&folder.path().join("a.toml")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(secrets(&config), [wanted]);
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn urls_and_tokens_are_secrets() {
    let text = file("\"env:GOOD\"")
        + "[stores.a]\ntype = \"redis\"\nurl = \"env:URL\"\n[geo]\ndatabase = { type = \"ipinfo\", token = \"env:SHORT\" }\n";
    let config = resolve(&text).unwrap_or_else(|e| panic!("{e}"));
    let Store::Redis(redis) = &config.stores["a"] else { panic!("it is redis") };
    assert_eq!(redis.url.password.as_deref(), Some("hunter2"));
    assert!(format!("{config:?}").contains("IpInfo"));
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    std::fs::write(folder.path().join("binary"), b"\xff").unwrap();
    std::fs::write(folder.path().join("large"), vec![b'x'; (64 << 10) + 1]).unwrap();
    let cases: [(&str, &str); 9] = [
        ("env:NONE", "`secret`: the environment variable NONE is not set"),
        ("env:EMPTY", "`secret`: the environment variable EMPTY is empty"),
        ("env:", "`secret`: \"env:\" names no environment variable"),
        ("env:a=b", "`secret`: \"env:a=b\" names no environment variable"),
        ("env:SHORT", "`secret` = (7 bytes): must have 16 to 1024 bytes"),
        ("file:", "`secret`: \"file:\" names no file"),
        ("file:{}/empty", "`secret`: the file {}/empty is empty"),
        ("file:{}/binary", "`secret`: the file {}/binary is not UTF-8 text"),
        ("file:{}/large", "`secret`: the file {}/large is larger than 64 KiB"),
    ];
    for (value, wanted) in cases {
        let error = resolve(&file(&format!("\"{}\"", value.replace("{}", &path)))).unwrap_err();
        let [d] = error.diagnostics() else { panic!("{error}") };
        assert_eq!((d.line, d.column), (5, 48), "{error}");
        assert!(d.message.starts_with(wanted.split("{}").next().unwrap()), "{error}");
        assert!(d.message.ends_with(wanted.split("{}").last().unwrap()), "{error}");
    }
    let missing = resolve(&file("\"file:no/such\"")).unwrap_err().to_string();
    assert!(missing.contains("`secret`: the file no/such cannot be read: No such file"), "{missing}");
    let none = resolve(&file("[]")).unwrap_err().to_string();
    assert!(none.contains("`secret` must not be an empty list"), "{none}");
    let many = resolve(&file(&format!("[{}]", "\"env:GOOD\", ".repeat(9)))).unwrap_err().to_string();
    assert!(many.contains("`secret` must have at most 8 secrets, not 9"), "{many}");
}

#[test]
fn no_message_shows_a_secret() {
    let shown = |text: &str| {
        let error = resolve(text).unwrap_err();
        format!("{error} {} {error:?}", error.render(false))
    };
    for secret in [
        "\"hunter2\"",
        "[\"hunter2\", \"env:NONE\"]",
        "[\"env:NONE\", 'hunter2']",
        "[[\"hunter2\"], \"env:NONE\"]",
    ] {
        let text = file(secret);
        assert!(!shown(&text).contains("hunter2"), "{}", shown(&text));
    }
    assert!(!shown(&file("123454321")).contains("123454321"));
    let store = |url: &str| {
        file("\"env:GOOD\"") + &format!("[stores.a]\ntype = \"redis\"\nurl = \"{url}\"\nxyzzy = 1")
    };
    for url in ["redis://:hunter2@", "env:BAD_URL", "redis://:hunter2@127.0.0.1:0/x"] {
        let text = store(url);
        assert!(shown(&text).contains("`url` = "), "{}", shown(&text));
        assert!(!shown(&text).contains("hunter2"), "{}", shown(&text));
    }
    let masked = resolve(&file("\"größer\"")).unwrap_err().render(false);
    assert!(masked.contains("secret = ********** }"), "{masked}");
}
