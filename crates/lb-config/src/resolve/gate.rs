//! What stands before a route, pages in place of errors, and requests' ids.

use super::algorithm::is_token;
use super::known::Known;
use super::route::{OWN_HEADERS, networks};
use super::set;
use crate::Secrets;
use crate::config::{BasicAuth, Cors, ErrorPage, ForwardAuth, Gate, IdTrust, RequestId};
use crate::node::{Node, Value, shorten};
use crate::reader::{Field, Reader};
use lb_admission::password::PasswordHash;
use lb_route::OriginPattern;
use lb_types::{BackendUrl, Scheme};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// The largest file of users, and the largest page.
const FILE_BYTES_MAX: usize = 1 << 20;
const USUAL_METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// A route's gate. `methods` are the route's; `forwards`: its requests go to a pool.
pub(super) fn gate(r: &Reader<'_>, known: &Known<'_>, methods: &[String], forwards: bool) -> Gate {
    let list = |name: &str| {
        let field = r.field(name);
        if field.len() == Some(0) {
            field.error(format!("`{name}` must not be an empty list")).help("leave the key out");
        }
        networks(&field)
    };
    let gate = Gate {
        allow: list("allow"),
        deny: list("deny"),
        basic_auth: r.field("basic_auth").table().and_then(|t| basic_auth(&t, known, forwards)),
        forward_auth: r.field("forward_auth").table().and_then(|t| forward_auth(&t, forwards)),
        cors: r.field("cors").table().and_then(|t| cors(&t, methods)),
    };
    if let (Some(basic), Some(asked)) = (&gate.basic_auth, &gate.forward_auth)
        && let Some(user) = &basic.forward_user
        && asked.response_headers.iter().any(|name| name.eq_ignore_ascii_case(user))
    {
        let message = format!("header `{}` is told by `basic_auth` and by `forward_auth`", shorten(user));
        r.sink.error(r.field("forward_auth").span(), message).help("one of them is enough");
    }
    gate
}

fn basic_auth(r: &Reader<'_>, known: &Known<'_>, forwards: bool) -> Option<BasicAuth> {
    let (inline, file) = (r.field("users"), r.field("file"));
    if !inline.is_present() && !file.is_present() {
        r.sink
            .error(r.span, "`basic_auth` must have `users` or `file`")
            .help("add users = { NAME = \"HASH\" }");
        return None;
    }
    let mut users = users(&inline, known);
    users.extend(htpasswd(&file, known.secrets));
    let mut names = HashSet::new();
    if let Some((twice, _)) = users.iter().find(|(name, _)| !names.insert(name.as_str())) {
        r.sink.error(r.span, format!("user \"{}\" is there twice", shorten(twice)));
    }
    let realm = r.field("realm");
    let realm_text = realm.text_or_empty().filter(|text| {
        let good = text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\');
        if !good {
            realm.error("`realm` must be printable ASCII without quote and backslash");
        }
        good
    });
    if !forwards {
        nothing_is_forwarded(r, &["forward_user", "forward_credentials"]);
    }
    Some(BasicAuth {
        users,
        realm: realm_text.unwrap_or("edge-lb").to_owned(),
        forward_user: header(&r.field("forward_user")),
        forward_credentials: r.field("forward_credentials").boolean().unwrap_or(false),
    })
}

fn nothing_is_forwarded(r: &Reader<'_>, names: &[&str]) {
    r.refuse(names, |key| format!("`{key}` does nothing without `pool`: nothing is forwarded"));
}

fn users(field: &Field<'_>, known: &Known<'_>) -> Vec<(String, PasswordHash)> {
    let Some(node) = field.node() else { return vec![] };
    let Value::Table(entries) = &node.value else {
        field.sink.hide(node.span);
        field
            .sink
            .error(node.span, "`users` must be a table of hashes, by name")
            .help("users = { NAME = \"HASH\" }");
        return vec![];
    };
    if entries.is_empty() {
        field.error("`users` must have one user at least");
    }
    let mut users = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Err(why) = name(&entry.key) {
            field.sink.error(entry.key_span, why);
            continue;
        }
        let Some(text) = known.secrets.read(field, &entry.node) else { continue };
        match PasswordHash::new(&text) {
            Ok(hash) => users.push((entry.key.clone(), hash)),
            Err(e) => {
                let message = format!("the hash of \"{}\" {}", shorten(&entry.key), e.must);
                field.sink.error(entry.node.span, message);
            }
        }
    }
    users
}

/// May a client send it as its name?
fn name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
        return Err(format!(
            "\"{}\" is no user's name: it has a colon or a control, or is empty",
            shorten(name)
        ));
    }
    Ok(())
}

/// The users of a file; what is wrong is told by its line, without showing it.
fn htpasswd(field: &Field<'_>, secrets: &Secrets<'_>) -> Vec<(String, PasswordHash)> {
    let Some(path) = field.text() else { return vec![] };
    let read = secrets.file(path, FILE_BYTES_MAX).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| format!("the file {} is not UTF-8 text", shorten(path)))
    });
    let text = match read {
        Ok(text) => text,
        Err(why) => {
            field.error(format!("`file`: {why}"));
            return vec![];
        }
    };
    let mut users = vec![];
    for (line, number) in text.lines().map(str::trim_end).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let user = match line.split_once(':') {
            None => Err("must be NAME:HASH".to_owned()),
            // `htpasswd` files may have further fields.
            Some((who, rest)) => name(who).and_then(|()| {
                let hash = PasswordHash::new(rest.split(':').next().unwrap_or_default());
                hash.map(|hash| (who.to_owned(), hash)).map_err(|e| e.must)
            }),
        };
        match user {
            Ok(user) => users.push(user),
            Err(why) => {
                field.error(format!("`file`: line {number} of {} {why}", shorten(path)));
                return users;
            }
        }
    }
    if users.is_empty() {
        field.error(format!("`file`: {} has no users", shorten(path)));
    }
    users
}

fn forward_auth(r: &Reader<'_>, forwards: bool) -> Option<ForwardAuth> {
    if !forwards {
        nothing_is_forwarded(r, &["response_headers"]);
    }
    let url = r.field("url").required();
    let headers = |name: &str| -> Vec<String> {
        let field = r.field(name);
        let items = field.text_items().into_iter();
        items.filter(|(text, node)| is_header(&field, text, node)).map(|(text, _)| text.to_owned()).collect()
    };
    let timeout = r.field("timeout").duration();
    let request_headers = r.field("request_headers").is_present().then(|| headers("request_headers"));
    let response_headers = headers("response_headers");
    let text = url.text()?;
    match text.parse::<BackendUrl>() {
        Ok(parsed) if parsed.scheme() != Scheme::Http => {
            url.error("`url` must be http: TLS to such a server is not built yet");
        }
        Ok(_) if !text.starts_with("http://") => {
            url.error("`url` must begin with http://");
        }
        Ok(_) => {}
        Err(_) => {
            let message = format!("`url` must be a URL without a query, not \"{}\"", shorten(text));
            url.error(message).help("such as http://127.0.0.1:9091/verify");
        }
    }
    Some(ForwardAuth {
        url: text.to_owned(),
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
        request_headers,
        response_headers,
    })
}

fn cors(r: &Reader<'_>, methods: &[String]) -> Option<Cors> {
    let origins = r.field("origins").required();
    if origins.len() == Some(0) {
        origins
            .error("`origins` must have one origin at least")
            .help("origins = [\"https://app.example.com\"]");
    }
    let credentials = r.field("credentials").boolean().unwrap_or(false);
    let mut listed = vec![];
    for (text, node) in origins.text_items() {
        if text == "*" {
            if credentials {
                origins
                    .error_at(node, |_| "`origins` must not have \"*\" with `credentials`".to_owned())
                    .help("name the origins: every page could act for its visitors");
            }
        } else if let Err(e) = OriginPattern::parse(text) {
            origins.error_at(node, |found| format!("bad origin {found}: it {}", e.must));
        }
        listed.push(text.to_owned());
    }
    let tokens = |name: &str, star: bool| -> Vec<String> {
        let field = r.field(name);
        let good = |(text, node): &(&str, &Node)| {
            let good = is_token(text) && (star || *text != "*");
            if !good {
                field.error_at(node, |found| format!("bad name {found} in `{name}`"));
            }
            good
        };
        field.text_items().into_iter().filter(good).map(|(text, _)| text.to_owned()).collect()
    };
    let mut cors = Cors {
        origins: listed,
        methods: tokens("methods", false),
        headers: tokens("headers", true),
        expose_headers: tokens("expose_headers", false),
        credentials,
        max_age: r.field("max_age").duration_within(Duration::ZERO..=Duration::from_secs(86_400)),
    };
    if cors.methods.is_empty() {
        let usual = || USUAL_METHODS.map(str::to_owned).to_vec();
        cors.methods = if methods.is_empty() { usual() } else { methods.to_vec() };
    }
    if cors.headers.is_empty() {
        cors.headers = vec!["*".to_owned()];
    }
    Some(cors)
}

/// A header that may be set.
fn header(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    is_header(field, text, field.node()?).then(|| text.to_owned())
}

fn is_header(field: &Field<'_>, text: &str, node: &Node) -> bool {
    if !is_token(text) {
        field.error_at(node, |found| format!("{found} is no header name"));
        return false;
    }
    if text.eq_ignore_ascii_case("host") || OWN_HEADERS.iter().any(|own| text.eq_ignore_ascii_case(own)) {
        field.error_at(node, |found| format!("header {found} is set by the proxy itself"));
        return false;
    }
    true
}

/// Pages in place of errors.
pub(super) fn error_pages(field: &Field<'_>, secrets: &Secrets<'_>) -> Vec<ErrorPage> {
    let named = field.named_tables();
    named.into_iter().filter_map(|(status, r)| error_page(status, &r, secrets)).collect()
}

fn error_page(status: &str, r: &Reader<'_>, secrets: &Secrets<'_>) -> Option<ErrorPage> {
    let is_code = status.len() == 3 && status.parse().is_ok_and(|code| (400..=599u16).contains(&code));
    if !is_code && !matches!(status, "4xx" | "5xx") {
        let message = format!("\"{}\" is no status of an error", shorten(status));
        r.sink.error(r.span, message).help("a page is for a status from 400 to 599, for 4xx or 5xx");
    }
    let (file, body) = (r.field("file"), r.field("body"));
    if file.is_present() == body.is_present() {
        r.sink.error(r.span, "a page must have one of `file` and `body`");
        return None;
    }
    let mut content_type = "text/html; charset=utf-8";
    let bytes = if let Some(path) = file.text() {
        match Path::new(path).extension().and_then(|e| e.to_str()) {
            Some("json") => content_type = "application/json",
            Some("txt") => content_type = "text/plain; charset=utf-8",
            _ => {}
        }
        secrets.file(path, FILE_BYTES_MAX).map_err(|why| file.error(format!("`file`: {why}"))).ok()?
    } else {
        body.text_or_empty()?.as_bytes().to_vec()
    };
    let own = r.field("content_type");
    let own_text = own.text().filter(|text| {
        let good = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !good {
            own.error("`content_type` must be printable ASCII");
        }
        good
    });
    set(&mut content_type, own_text);
    let intercept = r.field("intercept").boolean().unwrap_or(false);
    Some(ErrorPage {
        status: status.to_owned(),
        body: bytes,
        content_type: content_type.to_owned(),
        intercept,
    })
}

/// How requests get ids; `usual`: they do where nothing is said.
pub(super) fn request_id(field: &Field<'_>, usual: bool) -> Option<RequestId> {
    let Some(r) = field.table() else { return usual.then(RequestId::default) };
    let mut id = RequestId::default();
    set(&mut id.header, header(&r.field("header")));
    let trusts = [
        ("trusted-proxies", IdTrust::TrustedProxies),
        ("always", IdTrust::Always),
        ("never", IdTrust::Never),
    ];
    set(&mut id.trust, r.field("trust").choice(&trusts));
    r.enabled().then_some(id)
}
