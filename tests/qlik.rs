//! The subs and the documentation for Qlik, sent as Qlik's connector would send them: doubled quotes
//! undone, blanks in URLs as %20, `Expect: 100-continue`, everything a string.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod http_support;

use http_support::{Answer, Pantry};

/// What the script's variables hold.
const VARIABLES: &[(&str, &str)] = &[
    ("vPantryNamespace", "Sales ETL #2 \u{e5}"),
    ("vPantryKey", "Last \\\"\"extract\\\"\" 100%"),
    ("vPantryValue", "a & b = c\\n+?"),
    ("vPantryTtl", "60000"),
    ("vTtl", "PT10M"),
    ("vBy", "2"),
];

fn expanded(text: &str) -> String {
    let known = VARIABLES
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value));
    assert!(!known.contains("$("), "a variable without a value: {known}");
    known
}

/// A body between quotes of the script, as the connector sends it.
fn send(pantry: &Pantry, operation: &str, literal: &str) -> Answer {
    let body = literal.replace("\"\"", "\"");
    let headers = ["Content-Type: application/json", "X-KV-Soft-Errors: 1", "Expect: 100-continue"];
    pantry.request("POST", &format!("/v1/{operation}"), &headers, body.as_bytes())
}

#[test]
fn every_call_of_the_subs_is_understood() {
    let pantry = Pantry::start(&[]);
    let subs = pantry.get("/v1/qlik/pantry_subs.qvs");
    let calls: Vec<(String, String)> = subs
        .text()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("CALL PantryCall('"))
        .filter_map(|rest| rest.strip_suffix("');")?.split_once("', '"))
        .map(|(operation, body)| (operation.to_owned(), body.to_owned()))
        .collect();
    assert_eq!(calls.len(), 11);
    let mut token = String::new();
    for (operation, body) in calls {
        let body = expanded(&body.replace("$(vToken)", &token));
        let answer = send(&pantry, &operation, &body);
        assert_eq!(answer.status, 200, "{operation}");
        let row = answer.json();
        // What is not there was deleted by a call before.
        let is_expected =
            row["ok"] == true || row["status"] == 404 || row["error"] == "invalid_argument";
        assert!(is_expected, "{operation} {body}: {row}");
        if let Some(taken) = row["token"].as_str() {
            taken.clone_into(&mut token);
        }
    }
    for name in [
        "AddKeyValue",
        "GetKeyValue",
        "DeleteKeyValue",
        "ExistsKeyValue",
        "DeleteKeyValueNamespace",
        "GetKeyValueNamespaces",
        "GetAllKeysInNamespace",
    ] {
        assert!(subs.text().contains(&format!("SUB {name}(")), "{name}");
    }
}

#[test]
fn what_a_sub_sets_another_gets() {
    let pantry = Pantry::start(&[]);
    let named = r#"""namespace"":""$(vPantryNamespace)"",""key"":""$(vPantryKey)"""#;
    let set = expanded(&format!(
        "{{{named},\"\"value\"\":\"\"$(vPantryValue)\"\",\"\"ttl\"\":\"\"$(vPantryTtl)\"\"}}"
    ));
    assert_eq!(send(&pantry, "set", &set).json()["ok"], true);
    let pair = send(&pantry, "get", &expanded(&format!("{{{named}}}"))).json();
    assert_eq!(pair["key"], "Last \"extract\" 100%");
    assert_eq!(pair["value"], "a & b = c\n+?");
    let csv = pantry.get("/v1/namespaces/Sales%20ETL%20%232%20%C3%A5.csv");
    assert!(
        csv.text().contains("\"Last \"\"extract\"\" 100%\",\"a & b = c\n+?\","),
        "{}",
        csv.text()
    );
}

#[test]
fn every_path_in_the_documentation_exists() {
    let pantry = Pantry::start(&[]);
    pantry.post("/v1/set", r#"{"namespace":"Reload chain","key":"k","value":"v"}"#);
    pantry.post("/v1/set", r#"{"namespace":"n","key":"k","value":"v"}"#);
    let docs = std::fs::read_to_string("docs/qlik.md").unwrap();
    let mut seen = 0;
    for (at, _) in docs.match_indices("/v1/") {
        let path = docs[at..].split(['`', '"', ';', ']', '\'', '\n', '…']).next().unwrap();
        let path = path
            .split(" with ")
            .next()
            .unwrap()
            .replace("&since=", "")
            .replace("wait=30s", "wait=0");
        if path.ends_with("/pairs") || path.contains("watch") {
            continue;
        }
        let path = path.trim_end().replace(' ', "%20");
        let found = [pantry.get(&path).status, pantry.request("POST", &path, &[], b"").status];
        assert!(found.iter().any(|status| !matches!(status, 404 | 405)), "{path}: {found:?}");
        seen += 1;
    }
    assert!(seen > 10);
}
