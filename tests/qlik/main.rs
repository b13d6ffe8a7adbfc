//! The subs and the documentation for Qlik: every example is run as the connector would send it, and what comes back
//! is what the example says.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../http_support/mod.rs"]
mod http_support;
mod script;

use http_support::{Answer, Pantry};
use script::Script;

/// Texts that end literals, look like more script, or need escapes somewhere on the way.
const TEXTS: &[&str] = &[
    "Sales ETL #2 å",
    "Last \"extract\" 100%",
    "Bob's; \\back\\ 'twice''",
    "$(vPantryKey) $(=1) %24",
    "a & b = c\r\n+?/\t{\"json\":[1]}",
    "日本 \u{1f600}",
];

fn subs(pantry: &Pantry) -> String {
    pantry.get("/v1/qlik/pantry_subs.qvs").text().to_owned()
}

fn script<'p>(pantry: &'p Pantry) -> Script<'p> {
    let mut script = Script::new(pantry, &subs(pantry));
    assert!(script.run("SET vButlerHost = 'http://your-host';\nSET vButlerPort = '8080';"));
    script
}

/// Blocks of the documentation of one kind.
fn blocks(kind: &str) -> Vec<String> {
    let docs = std::fs::read_to_string("docs/qlik.md").unwrap();
    let opening = format!("```{kind}\n");
    let rest = docs.split(opening.as_str()).skip(1);
    rest.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn any_text_comes_back_as_it_was() {
    let pantry = Pantry::start(&[]);
    let mut script = script(&pantry);
    for (at, text) in TEXTS.iter().enumerate() {
        let namespace = TEXTS[(at + 1) % TEXTS.len()];
        let key = TEXTS[(at + 2) % TEXTS.len()];
        for (name, value) in [("vNs", namespace), ("vK", key), ("vV", text)] {
            script.variables.insert(name.to_owned(), value.to_owned());
        }
        assert!(script.run("CALL AddKeyValue(vNs, vK, vV, '60000');"));
        assert!(
            script
                .run("CALL GetKeyValue(vNs, vK, 'vGot');\nCALL ExistsKeyValue(vNs, vK, 'vThere');")
        );
        assert_eq!(script.variables["vGot"], *text);
        assert_eq!(script.variables["vThere"], "true");
        assert!(
            script.run("CALL PantryLoad('Pairs', vNs);\nCALL GetAllKeysInNamespace('Keys', vNs);")
        );
        let pair = &script.tables["Pairs"][0];
        assert_eq!((pair["Key"].as_deref(), pair["Value"].as_deref()), (Some(key), Some(*text)));
        assert_eq!(script.tables["Keys"][0].len(), 1);
        assert!(
            script.run("CALL PantryTake(vNs, vK, 'vTaken');\nCALL PantryTake(vNs, vK, 'vNone');")
        );
        assert_eq!(script.variables["vTaken"], *text);
        assert!(!script.variables.contains_key("vNone"));
        assert!(
            script.run("CALL PantryGet(vNs, vK, vV, 'vGot');\nCALL DeleteKeyValueNamespace(vNs);")
        );
        assert_eq!(script.variables["vGot"], *text);
    }
}

#[test]
fn every_sub_does_what_it_says() {
    let pantry = Pantry::start(&[]);
    let mut script = script(&pantry);
    assert!(script.run(
        "CALL AddKeyValue('n', 'k', 'v', 0);
         CALL AddKeyValue('n', 'ends', 'v', '');
         CALL GetKeyValueNamespaces('Names');
         CALL DeleteKeyValue('n', 'k');
         CALL DeleteKeyValue('n', 'k');
         CALL GetKeyValue('n', 'k', 'vGone');
         CALL ExistsKeyValue('none', 'k', 'vThere');
         CALL PantryGet('none', 'k', 'instead', 'vFell');
         CALL PantryIncrement('n', 'sum', 2, 'vSum');
         CALL PantryIncrement('n', 'sum', '0.5', 'vSum');
         CALL PantryLock('l', '60000', 'vToken');
         CALL PantryLock('l', '60000', 'vOther');
         CALL PantryRenew('l', vToken, 'PT2M', 'vHeld');
         CALL PantryUnlock('l', vToken);
         CALL PantryRenew('l', vToken, 'PT2M', 'vLost');
         CALL PantryLock('l', '60000', 'vThird');
         CALL DeleteKeyValueNamespace('n');
         CALL DeleteKeyValueNamespace('n');"
    ));
    assert_eq!(script.tables["Names"][0]["Namespace name"].as_deref(), Some("n"));
    assert_eq!(script.tables["Names"][0]["Pairs"].as_deref(), Some("2"));
    for (name, value) in
        [("vThere", "false"), ("vFell", "instead"), ("vSum", "2.5"), ("vHeld", "true")]
    {
        assert_eq!(script.variables.get(name).map(String::as_str), Some(value), "{name}");
    }
    for name in ["vGone", "vOther", "vLost"] {
        assert!(!script.variables.contains_key(name), "{name}");
    }
    let token = |name: &str| script.variables[name].parse::<u64>().unwrap();
    assert!(token("vThird") > token("vToken"));
    assert!(script.statuses.iter().all(|status| *status == 200));
}

#[test]
fn scripts_in_the_documentation_run() {
    let pantry = Pantry::start(&[]);
    let mut script = script(&pantry);
    let blocks = blocks("qlik");
    assert_eq!(blocks.len(), 3);
    for block in &blocks {
        assert!(script.run(block));
    }
    assert_eq!(script.traced, ["2026-09-29 17:14:56", "1234 rows in run 1"]);
    // While somebody holds the lock, the chain's script ends itself.
    assert!(script.run("CALL PantryLock('Sales ETL', 'PT10M', 'vMine');\nSET vToken = '';"));
    assert!(!script.run(&blocks[1]));
    assert_eq!(script.traced.last().unwrap(), "Another reload is at work");
    let loads = self::blocks("load");
    for load in &loads {
        let url = load.split(['[', ']']).nth(1).unwrap();
        let path = url.strip_prefix("http://your-host:8080").unwrap().replace(' ', "%20");
        let csv = pantry.get(&path);
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        let text = csv.text();
        assert!(text.starts_with("namespace,key,value,ttl_ms,expires_ms,expires_at,base64\r\n"));
        assert!(text.contains("\r\nSales ETL,rows,1234,"), "{text}");
    }
    assert_eq!(loads.len(), 1);
}

#[test]
fn calls_in_the_documentation_answer_as_it_says() {
    let pantry = Pantry::start(&[]);
    let mut calls = 0;
    for block in blocks("http") {
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let (method, rest) = line.split_once(' ').unwrap();
            let at = rest.find([' ']).filter(|_| rest.contains(" {") || rest.contains(" ["));
            let at = at.and_then(|_| rest.find(" {").or(rest.find(" [")));
            let (path, body) = rest.split_at(at.unwrap_or(rest.len()));
            let mut headers = vec!["Content-Type: application/json", "Expect: 100-continue"];
            headers.truncate(if body.is_empty() { 0 } else { 2 });
            while let Some(header) =
                lines.next_if(|line| !line.starts_with(|c: char| c.is_ascii_digit()))
            {
                headers.push(header);
            }
            let (status, wanted) = lines.next().unwrap().split_once(' ').unwrap();
            let path = path.replace(' ', "%20");
            let answer = pantry.request(method, &path, &headers, body.trim_start().as_bytes());
            assert_eq!(answer.status.to_string(), status, "{line}");
            assert!(fits(&answer, wanted), "{line}\nwanted {wanted}\ngot    {}", answer.text());
            calls += 1;
        }
    }
    assert!(calls > 20);
}

/// Whether an answer is what stands there, where `…` stands for anything.
fn fits(answer: &Answer, wanted: &str) -> bool {
    let text = answer.text();
    let mut rest = Some(text.trim_end());
    let mut parts = wanted.split('…');
    let first = parts.next().unwrap();
    rest = rest.and_then(|text| text.strip_prefix(first));
    let mut last = None;
    for part in parts {
        rest = rest.and_then(|text| text.find(part).map(|at| &text[at + part.len()..]));
        last = Some(part);
    }
    match last {
        None => rest == Some(""),
        Some(part) => rest.is_some() && text.trim_end().ends_with(part),
    }
}

#[test]
fn connections_in_the_documentation_can_be_saved() {
    let pantry = Pantry::start(&[]);
    let block = blocks("connection").concat();
    let mut methods = Vec::new();
    for line in block.lines() {
        let text = line.strip_prefix("CUSTOM CONNECT TO \"").unwrap().strip_suffix("\";").unwrap();
        let value = |name: &str| {
            let mut all = text.split(';').filter_map(|it| it.split_once('='));
            all.find(|(known, _)| *known == name).unwrap().1
        };
        let path = value("url").strip_prefix("http://your-host:8080").unwrap();
        // The dialog's test wants an answer of a type that it knows.
        let answer = pantry.request(value("method"), path, &[], b"");
        assert_eq!(answer.status, 200, "{line}");
        assert!(answer.json().is_object());
        methods.push(value("method"));
    }
    assert_eq!(methods, ["GET", "POST"]);
}

#[test]
fn the_server_starts_as_the_documentation_says() {
    for line in blocks("sh").concat().lines() {
        let flags: Vec<&str> = line.strip_prefix("pantry").unwrap().split_whitespace().collect();
        // Where the data is kept is the test's own matter.
        let dir = flags.iter().position(|flag| *flag == "--dir");
        let flags = &flags[..dir.unwrap_or(flags.len())];
        let pantry = Pantry::start(flags);
        let wanted = if flags.contains(&"--requirepass") { 401 } else { 200 };
        assert_eq!(pantry.get("/v1/ping").status, wanted, "{line}");
    }
}
