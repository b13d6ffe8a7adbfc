//! From a path to its operation: the routes of the table, taken apart.

use std::sync::LazyLock;

use hyper::Method;

use super::table::{Operation, Run, operations};

/// A route, taken apart.
#[derive(Debug)]
struct Route {
    /// Method and path as they stand in the table.
    name: (&'static str, &'static str),
    method: Method,
    segments: Vec<Segment>,
    operation: &'static Operation,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Word(&'static str),
    Param { name: &'static str, suffix: &'static str },
}

/// What a request leads to.
pub(super) enum Found<'a> {
    /// With what the path captured, and the route as it stands in the table.
    Operation(&'static Operation, Vec<(&'static str, &'a str)>, (&'static str, &'static str)),
    /// The path is there, with these methods.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// Routes by their number of segments.
static ROUTES: LazyLock<Vec<Vec<Route>>> = LazyLock::new(|| {
    let mut routes: Vec<Vec<Route>> = Vec::new();
    for operation in operations() {
        for line in operation.routes {
            let name = line.split_once(' ').unwrap_or((line, ""));
            let segments: Vec<Segment> = name.1.split('/').skip(1).map(segment).collect();
            let method = Method::from_bytes(name.0.as_bytes()).unwrap_or(Method::GET);
            if routes.len() <= segments.len() {
                routes.resize_with(segments.len() + 1, Vec::new);
            }
            routes[segments.len()].push(Route { name, method, segments, operation });
        }
    }
    routes
});

/// How paths end that lead GET to an operation with pauses.
pub(super) static PAUSING: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let pausing = operations().filter(|operation| matches!(operation.run, Run::Later(_)));
    let paths = pausing.flat_map(|it| it.routes).filter_map(|line| line.strip_prefix("GET "));
    let mut ends: Vec<&str> =
        paths.filter_map(|path| path.rfind('/').map(|slash| &path[slash..])).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
});

fn segment(text: &'static str) -> Segment {
    match text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((name, suffix)) => Segment::Param { name, suffix },
        None => Segment::Word(text),
    }
}

/// Looks a path up; HEAD goes where GET goes.
pub(super) fn find<'a>(method: &Method, path: &'a [impl AsRef<str>]) -> Found<'a> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let Some(routes) = ROUTES.get(path.len()) else { return Found::Nothing };
    let mut others: Vec<&'static str> = Vec::new();
    let mut fitting: Option<&Route> = None;
    for route in routes {
        // What is `….csv` to GET is nothing else to PUT.
        if !route.fits(path) || fitting.is_some_and(|first| first.segments != route.segments) {
            continue;
        }
        fitting = fitting.or(Some(route));
        if route.method == *method {
            return Found::Operation(route.operation, route.captures(path), route.name);
        }
        let name = name_of(&route.method);
        if !others.contains(&name) {
            others.push(name);
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
}

fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "GET, HEAD",
    }
}

impl Route {
    fn fits(&self, path: &[impl AsRef<str>]) -> bool {
        self.segments.iter().zip(path).all(|(segment, sent)| match segment {
            Segment::Word(word) => sent.as_ref() == *word,
            Segment::Param { suffix, .. } => {
                let name = sent.as_ref().strip_suffix(suffix);
                name.is_some_and(|name| suffix.is_empty() || !name.is_empty())
            }
        })
    }

    fn captures<'a>(&self, path: &'a [impl AsRef<str>]) -> Vec<(&'static str, &'a str)> {
        let pairs = self.segments.iter().zip(path);
        let captured = pairs.filter_map(|(segment, sent)| match segment {
            Segment::Word(_) => None,
            Segment::Param { name, suffix } => Some((*name, sent.as_ref().strip_suffix(suffix)?)),
        });
        captured.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_operations() {
        let led = |method: Method, path: &str| {
            let path: Vec<&str> = path[1..].split('/').collect();
            match find(&method, &path) {
                Found::Operation(operation, captures, _) => {
                    format!("{} {captures:?}", operation.id)
                }
                Found::OtherMethods(methods) => methods.join(", "),
                Found::Nothing => String::new(),
            }
        };
        assert_eq!(
            led(Method::GET, "/v1/namespaces/n.csv"),
            "listPairsAsCsv [(\"namespace\", \"n\")]"
        );
        assert_eq!(
            led(Method::GET, "/v1/namespaces/.csv"),
            "describeNamespace [(\"namespace\", \".csv\")]"
        );
        assert_eq!(
            led(Method::HEAD, "/v1/namespaces/n/pairs/k"),
            "getPair [(\"namespace\", \"n\"), (\"key\", \"k\")]"
        );
        assert_eq!(led(Method::PUT, "/v1/get"), "GET, HEAD, POST");
        assert_eq!(led(Method::POST, "/"), "command []");
        assert_eq!(led(Method::GET, "/v1/nothing"), "");
        assert_eq!(led(Method::GET, "/v1"), "");
    }
}
