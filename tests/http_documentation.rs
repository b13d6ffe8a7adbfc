//! `/documentation` and the description that it shows: there, whole, and without anything from elsewhere.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod http_support;

use http_support::Pantry;

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let pantry = Pantry::start(&[]);
    let moved = pantry.get("/documentation");
    assert_eq!((moved.status, moved.header("location")), (302, Some("documentation/")));
    let page = pantry.get("/documentation/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self';"));
    let html = page.text();
    let links = html.split(['"']).filter(|it| it.ends_with(".js") || it.ends_with(".css"));
    let links: Vec<&str> = links.collect();
    assert_eq!(links.len(), 3);
    for link in links {
        let file = pantry.get(&format!("/documentation/{link}"));
        assert_eq!(file.status, 200, "{link}");
        if file.header("content-encoding") == Some("gzip") {
            assert!(file.body.starts_with(&[0x1f, 0x8b]) && file.body.len() > 10_000, "{link}");
        }
    }
    assert_eq!(pantry.get("/documentation/none").status, 404);
}

#[test]
fn both_apis_are_described() {
    let pantry = Pantry::start(&[]);
    let described = pantry.get("/documentation/json").json();
    assert_eq!(described, pantry.get("/v1/openapi.json").json());
    assert_eq!(described["openapi"], "3.1.0");
    for (path, method) in [
        ("/v4/keyvalues/{namespace}", "post"),
        ("/v4/keyvalues/{namespace}/{key}", "delete"),
        ("/v1/namespaces/{namespace}/pairs/{key}", "put"),
        ("/v1/watch", "get"),
        ("/pipeline", "post"),
    ] {
        assert!(described["paths"][path][method]["operationId"].is_string(), "{method} {path}");
    }
}

#[test]
fn the_password_is_wanted_there_too() {
    let pantry = Pantry::start(&["--requirepass", "secret"]);
    for path in ["/documentation", "/documentation/", "/documentation/json", "/v1/openapi.json"] {
        assert_eq!(pantry.get(path).status, 401, "{path}");
    }
}
