//! Compression of responses, by route: which are compressed, for whom, and what their heads say then.
//!
//! The coding is negotiated when the request is routed ([`accept`]), the response judged by its head when it comes ([`Compression::judge`]),
//! and the body encoded as it streams ([`body`], [`encoder`]). Only a backend's response is compressed, never one of the proxy's own, and
//! never what would be harmed: something encoded already, a part (206), what must not be transformed, what is checked by a digest, what is
//! a stream of events or gRPC.
//!
//! It lacks: compression of requests, dictionaries, and what was compressed before kept to be sent again.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod encoder;

use crate::body::ProxyBody;
use crate::engine::RequestBody;
use crate::stats::Counters;
use encoder::Encoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use lb_types::SettingsError;
use std::sync::Arc;

/// How a response is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, level 6.
    Gzip,
    /// `br`, quality 4 with a window of 256 KiB.
    Brotli,
    /// `zstd`, level 3 with a window of 512 KiB.
    Zstd,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Brotli, Self::Zstd];

    /// As `Content-Encoding` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// Which responses of a route are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressionSettings {
    /// What may be used; of codings that the client likes equally, the first. Default zstd, br, gzip.
    pub algorithms: Vec<Coding>,
    /// Shorter bodies are not worth it, in bytes; default 1024. One of unknown length is compressed.
    pub min_size: u64,
    /// Media types, `TYPE/SUBTYPE` or `TYPE/*`, in any case. Default [`DEFAULT_TYPES`](Self::DEFAULT_TYPES).
    pub types: Vec<String>,
}

impl CompressionSettings {
    /// What is text, or as good as text.
    pub const DEFAULT_TYPES: [&'static str; 25] = [
        "text/*",
        "application/atom+xml",
        "application/geo+json",
        "application/graphql-response+json",
        "application/javascript",
        "application/json",
        "application/ld+json",
        "application/manifest+json",
        "application/problem+json",
        "application/rss+xml",
        "application/vnd.api+json",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-javascript",
        "application/x-ndjson",
        "application/xhtml+xml",
        "application/xml",
        "application/yaml",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/svg+xml",
        "image/vnd.microsoft.icon",
        "image/x-icon",
        "model/gltf+json",
    ];

    /// Whether all of it can be done.
    ///
    /// # Errors
    /// No algorithm, or one twice; a type that is none, or that is [never compressed](Self::is_never).
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.algorithms.is_empty() {
            return Err(SettingsError::new("algorithms", "[]", "must have one at least"));
        }
        let twice = |i: usize| self.algorithms[..i].contains(&self.algorithms[i]);
        if let Some(i) = (1..self.algorithms.len()).find(|&i| twice(i)) {
            return Err(SettingsError::new(
                "algorithms",
                self.algorithms[i].as_str(),
                "must not be there twice",
            ));
        }
        if self.types.is_empty() {
            return Err(SettingsError::new("types", "[]", "must have one at least"));
        }
        for kind in &self.types {
            if !is_type(kind) {
                return Err(SettingsError::new("types", kind, "must be TYPE/SUBTYPE or TYPE/*"));
            }
            if Self::is_never(kind) {
                return Err(SettingsError::new("types", kind, "is a stream that is never compressed"));
            }
        }
        Ok(())
    }

    /// Is this a type whose parts have to arrive as they are sent: `text/event-stream`, or gRPC's?
    pub fn is_never(kind: &str) -> bool {
        let kind = kind.to_ascii_lowercase();
        kind == "text/event-stream" || kind.starts_with("application/grpc")
    }
}

impl Default for CompressionSettings {
    fn default() -> Self {
        Self {
            algorithms: vec![Coding::Zstd, Coding::Brotli, Coding::Gzip],
            min_size: 1024,
            types: Self::DEFAULT_TYPES.map(str::to_owned).to_vec(),
        }
    }
}

/// `TYPE/SUBTYPE` or `TYPE/*`, of characters of a token.
fn is_type(text: &str) -> bool {
    let is_token =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    text.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && (sub == "*" || is_token(sub)))
}

/// The same, prepared.
#[derive(Debug)]
pub(crate) struct Compression {
    algorithms: Box<[Coding]>,
    min_size: u64,
    types: Box<[Box<str>]>,
}

/// What becomes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes on as it is, whoever asks.
    Never,
    /// It goes on as it is, because this client takes no coding.
    NotHere,
    Encode(Coding),
}

impl Compression {
    pub(crate) fn new(s: &CompressionSettings) -> Self {
        Self {
            algorithms: s.algorithms.clone().into(),
            min_size: s.min_size,
            types: s.types.iter().map(|t| t.to_ascii_lowercase().into()).collect(),
        }
    }

    /// The coding for the client that sends these headers.
    pub(crate) fn choose(&self, request: &HeaderMap) -> Option<Coding> {
        accept::choose(
            request.get_all(header::ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes),
            &self.algorithms,
        )
    }

    /// Encodes a backend's response with what was chosen, if it is one to be encoded. To a HEAD the same head is given as to a GET, as far
    /// as it can be known.
    pub(crate) fn apply<B: RequestBody>(
        &self,
        mut response: Response<ProxyBody<B>>,
        chosen: Option<Coding>,
        is_head: bool,
        counters: &Arc<Counters>,
    ) -> Response<ProxyBody<B>> {
        if !response.body().is_streaming() {
            return response;
        }
        let status = response.status();
        let coding = match self.judge(status, response.headers(), chosen) {
            Verdict::Never => return response,
            Verdict::NotHere => {
                vary(response.headers_mut());
                return response;
            }
            Verdict::Encode(coding) => coding,
        };
        if is_head {
            encoded_head(response.headers_mut(), coding);
            return response;
        }
        let encoder = match Encoder::new(coding, content_length(response.headers())) {
            Ok(encoder) => encoder,
            Err(error) => {
                // There was no memory for it.
                tracing::warn!(%error, coding = coding.as_str(), "a response is not compressed");
                return response;
            }
        };
        Counters::count(&counters.compressed[coding.index()]);
        encoded_head(response.headers_mut(), coding);
        response.map(|body| body.compressed(encoder, counters.clone()))
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, chosen: Option<Coding>) -> Verdict {
        /// What says that the body is not to be touched.
        const FORBID: [HeaderName; 2] = [header::CONTENT_ENCODING, header::CONTENT_RANGE];
        /// They are of the body as it is.
        const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];
        let bare = matches!(status.as_u16(), 100..=199 | 204..=206 | 304);
        if bare
            || FORBID.iter().any(|name| headers.contains_key(name))
            || DIGESTS.iter().any(|name| headers.contains_key(*name))
            || has_item(headers, &header::CACHE_CONTROL, "no-transform")
            || content_length(headers).is_some_and(|n| n == 0 || n < self.min_size)
            || !self.is_listed(headers)
        {
            return Verdict::Never;
        }
        chosen.map_or(Verdict::NotHere, Verdict::Encode)
    }

    /// Is its media type one of those?
    fn is_listed(&self, headers: &HeaderMap) -> bool {
        let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
            return false;
        };
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let fits = |listed: &str| match listed.strip_suffix('*') {
            Some(start) => kind.get(..start.len()).is_some_and(|k| k.eq_ignore_ascii_case(start)),
            None => kind.eq_ignore_ascii_case(listed),
        };
        self.types.iter().any(|listed| fits(listed)) && !CompressionSettings::is_never(kind)
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Is this among a header's comma-separated items?
fn has_item(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|i| i.trim().eq_ignore_ascii_case(item))
}

/// Caches have to look at what the client accepts.
fn vary(headers: &mut HeaderMap) {
    if !["*", "accept-encoding"].iter().any(|item| has_item(headers, &header::VARY, item)) {
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// What a head says of a body that is encoded on its way.
fn encoded_head(headers: &mut HeaderMap, coding: Coding) {
    vary(headers);
    headers.remove(header::CONTENT_LENGTH);
    // Ranges would be of the body as it is.
    headers.remove(header::ACCEPT_RANGES);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    if let Some(tag) = headers.get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) {
        // The same bytes are no longer promised; a tag without quotes is none.
        let weak = [b"W/", tag.as_bytes()].concat();
        let weak = HeaderValue::from_maybe_shared(bytes::Bytes::from(weak)).ok();
        match weak.filter(|_| tag.as_bytes().starts_with(b"\"")) {
            Some(weak) => headers.insert(header::ETAG, weak),
            None => headers.remove(header::ETAG),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn what_is_compressed_and_what_never() {
        let c = Compression::new(&CompressionSettings::default());
        let judge = |status: u16, pairs: &[(&'static str, &'static str)]| {
            c.judge(StatusCode::from_u16(status).unwrap(), &map(pairs), Some(Coding::Gzip))
        };
        let yes = Verdict::Encode(Coding::Gzip);
        let html = ("content-type", "Text/HTML; charset=utf-8");
        assert_eq!(judge(200, &[html]), yes);
        assert_eq!(judge(200, &[html, ("content-length", "1024")]), yes);
        assert_eq!(judge(404, &[("content-type", "application/json")]), yes);
        assert_eq!(judge(200, &[("content-type", "image/svg+xml")]), yes);
        assert_eq!(judge(200, &[html, ("cache-control", "max-age=1, public")]), yes);
        for never in [
            &[html, ("content-length", "1023")][..],
            &[html, ("content-encoding", "identity")],
            &[html, ("content-range", "bytes 0-1/2")],
            &[html, ("cache-control", "max-age=1, No-Transform")],
            &[html, ("content-digest", "sha-256=:x:")],
            &[("content-type", "image/png")],
            &[("content-type", "text/event-stream; charset=utf-8")],
            &[("content-type", "application/grpc+proto")],
            &[("content-type", "texty/html")],
            &[],
        ] {
            assert_eq!(judge(200, never), Verdict::Never, "{never:?}");
        }
        for status in [101, 204, 205, 206, 304] {
            assert_eq!(judge(status, &[html]), Verdict::Never, "{status}");
        }
        assert_eq!(c.judge(StatusCode::OK, &map(&[html]), None), Verdict::NotHere);
    }

    #[test]
    fn an_empty_body_stays_empty_whatever_the_least_size() {
        let c = Compression::new(&CompressionSettings { min_size: 0, ..CompressionSettings::default() });
        let empty = map(&[("content-type", "text/plain"), ("content-length", "0")]);
        assert_eq!(c.judge(StatusCode::OK, &empty, Some(Coding::Zstd)), Verdict::Never);
        let one = map(&[("content-type", "text/plain"), ("content-length", "1")]);
        assert_eq!(c.judge(StatusCode::OK, &one, Some(Coding::Zstd)), Verdict::Encode(Coding::Zstd));
    }

    #[test]
    fn the_head_says_what_became_of_the_body() {
        let mut h = map(&[
            ("content-length", "5000"),
            ("accept-ranges", "bytes"),
            ("etag", "\"a\""),
            ("vary", "Origin"),
        ]);
        encoded_head(&mut h, Coding::Brotli);
        assert_eq!(
            (&h["content-encoding"], &h["etag"]),
            (&"br".parse().unwrap(), &"W/\"a\"".parse().unwrap())
        );
        assert!(!h.contains_key("content-length") && !h.contains_key("accept-ranges"));
        let varies: Vec<_> = h.get_all("vary").iter().collect();
        assert_eq!(varies, ["Origin", "Accept-Encoding"]);
        vary(&mut h);
        assert_eq!(h.get_all("vary").iter().count(), 2, "said once");
        for (tag, weak) in [("W/\"b\"", Some("W/\"b\"")), ("bare", None)] {
            let mut h = map(&[("etag", tag), ("vary", "*")]);
            encoded_head(&mut h, Coding::Gzip);
            assert_eq!(h.get("etag").map(|v| v.to_str().unwrap()), weak);
            assert_eq!(h.get_all("vary").iter().collect::<Vec<_>>(), ["*"]);
        }
    }

    #[test]
    fn settings_are_looked_at() {
        let good = CompressionSettings::default();
        assert_eq!(good.validate(), Ok(()));
        let field = |s: CompressionSettings| s.validate().unwrap_err().field;
        let algorithms = |a: &[Coding]| CompressionSettings { algorithms: a.to_vec(), ..good.clone() };
        assert_eq!(field(algorithms(&[])), "algorithms");
        assert_eq!(field(algorithms(&[Coding::Gzip, Coding::Zstd, Coding::Gzip])), "algorithms");
        for kind in ["text", "*/*", "text/", "/x", "a b/c", "text/event-stream", "application/grpc-web+proto"]
        {
            assert_eq!(
                field(CompressionSettings { types: vec![kind.into()], ..good.clone() }),
                "types",
                "{kind}"
            );
        }
        assert_eq!(field(CompressionSettings { types: vec![], ..good.clone() }), "types");
    }
}
