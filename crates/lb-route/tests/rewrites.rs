//! Whatever a client sends and a rewrite does with it: the path that comes out is normal, or there is none.

use lb_route::{PathError, Rewrite, Route, Router, normalise};
use lb_types::RequestInfo;
use proptest::prelude::*;
use std::borrow::Cow;

fn rewrites(parameters: &[Box<str>]) -> Vec<Rewrite> {
    let regex = |pattern: &str, with: &str| Rewrite::regex(pattern, with).unwrap();
    let path = |template: &str| Rewrite::path(template, parameters).unwrap();
    vec![
        Rewrite::strip_prefix(),
        Rewrite::replace_prefix("/").unwrap(),
        Rewrite::replace_prefix("/v2//x/").unwrap(),
        regex("/", "$0$0"),
        regex("(.)(.)", "$2$1"),
        regex("[^/]", "."),
        regex("%(..)", "%25$1"),
        regex("%", ""),
        regex("a", "%2F"),
        path("/{x}{y}"),
        path("/{y}/{x}.{x}/{y}"),
        path("/%2{x}"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn rewritten_paths_are_normal(
        parts in prop::collection::vec(prop::sample::select(vec!["/", "/", "a", "b", ".", "..", ";", "%2F", "%2E", "%25", "%C3"]), 0..12),
    ) {
        let text = format!("/{}", parts.concat());
        let routes = [
            Route::new().path("/{x}/{y}"),
            Route::new().path("/{x}/{*y}"),
            Route::new().path_regex("/(?<x>.)(?<y>.?).*"),
        ];
        for route in routes {
            let router = Router::build(&[route]).unwrap();
            let request = RequestInfo { path: &text, ..RequestInfo::default() };
            let Ok(Some(found)) = router.find(&request) else { continue };
            for rewrite in rewrites(router.parameters(0)) {
                match rewrite.apply(&found) {
                    Ok(path) => prop_assert!(
                        matches!(normalise(&path), Ok(Cow::Borrowed(same)) if *same == *path),
                        "{text} -> {path}: {rewrite:?}"
                    ),
                    Err(PathError::TooLong) => prop_assert!(false, "{text}: {rewrite:?}"),
                    Err(_) => {}
                }
            }
        }
    }
}
