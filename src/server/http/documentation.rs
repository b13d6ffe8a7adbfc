//! `/documentation`: Swagger UI over the description of both APIs, without anything from the internet.
//!
//! The page and its start are here, Swagger UI itself comes out of `build.rs`, gzipped; every browser
//! reads that. Links are relative, so that it works behind a proxy that adds a prefix.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};

use super::answer::{self, Answer, Body};
use super::openapi;

const UI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pantry</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="swagger-ui-bundle.js"></script>
<script src="start.js"></script>
</body>
</html>
"#;

/// No validator: the one that Swagger UI knows is on the internet.
const START: &str = "SwaggerUIBundle({ url: 'json', dom_id: '#ui', deepLinking: true, validatorUrl: null, \
                     docExpansion: 'list', filter: true });\n";

/// Swagger UI writes styles into its elements, and has pictures as data.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      base-uri 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// What a path leads to; `None`: not here.
pub(super) fn respond(path: &str) -> Option<Answer> {
    let file = path.strip_prefix("/documentation")?;
    Some(match file {
        "" => moved("documentation/"),
        "/" => page(),
        "/start.js" => answer::plain(SCRIPT, START.as_bytes().to_vec()),
        "/swagger-ui-bundle.js" => gzipped(SCRIPT, UI),
        "/swagger-ui.css" => gzipped(CSS, STYLE),
        // Where Butler's is.
        "/json" => openapi::answer(),
        _ => return None,
    })
}

fn page() -> Answer {
    let mut answer = answer::plain(HTML, PAGE.as_bytes().to_vec());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer
}

fn moved(to: &'static str) -> Answer {
    let mut answer = answer::no_content();
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    answer
}

fn gzipped(content_type: &'static str, bytes: &'static [u8]) -> Answer {
    let mut answer = answer::plain(content_type, Vec::new());
    *answer.body_mut() = Body::Whole(Some(Bytes::from_static(bytes)));
    answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer
}
