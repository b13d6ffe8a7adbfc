//! As much of Qlik's load script as the subs and the documentation are made of, run against a server.
//!
//! Requests are sent as the REST connector sends them: doubled quotes undone, blanks in URLs as %20,
//! `Expect: 100-continue` before a body. What it does not know fails the test. Left out: types (everything
//! is text), and the associative engine.

use std::collections::BTreeMap;

use super::http_support::Pantry;

/// A table: rows of named fields; `None` is null.
pub type Table = Vec<BTreeMap<String, Option<String>>>;

/// A script that runs.
pub struct Script<'p> {
    pantry: &'p Pantry,
    subs: BTreeMap<String, (Vec<String>, Vec<String>)>,
    pub variables: BTreeMap<String, String>,
    pub tables: BTreeMap<String, Table>,
    method: &'static str,
    pub traced: Vec<String>,
    /// Statuses of the answers.
    pub statuses: Vec<u16>,
}

impl<'p> Script<'p> {
    /// Knows the subs of a file.
    pub fn new(pantry: &'p Pantry, subs: &str) -> Script<'p> {
        let mut script = Script {
            pantry,
            subs: BTreeMap::new(),
            variables: BTreeMap::new(),
            tables: BTreeMap::new(),
            method: "GET",
            traced: Vec::new(),
            statuses: Vec::new(),
        };
        let mut current: Option<(String, Vec<String>, String)> = None;
        for line in subs.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let line = line.trim();
            if let Some(head) = line.strip_prefix("SUB ") {
                let (name, params) = head.split_once('(').unwrap();
                let params = params.strip_suffix(')').unwrap().split(',');
                let params = params.map(|param| param.trim().to_owned()).collect();
                current = Some((name.to_owned(), params, String::new()));
            } else if line == "END SUB" {
                let (name, params, body) = current.take().unwrap();
                script.subs.insert(name, (params, statements(&body)));
            } else if let Some((_, _, body)) = &mut current {
                body.push_str(line);
                body.push('\n');
            }
        }
        script
    }

    /// Runs statements; `false` if the script ends itself.
    pub fn run(&mut self, text: &str) -> bool {
        self.run_all(&statements(text))
    }

    fn run_all(&mut self, all: &[String]) -> bool {
        let mut at = 0;
        while at < all.len() {
            let statement = self.expand(&all[at]);
            at += 1;
            if let Some(condition) = statement.strip_prefix("IF ") {
                if !self.holds(condition.strip_suffix(" THEN").unwrap()) {
                    at += 1 + all[at..].iter().position(|it| it == "END IF").unwrap();
                }
            } else if statement == "EXIT SCRIPT" || statement != "END IF" && !self.step(&statement)
            {
                return false;
            }
        }
        true
    }

    fn step(&mut self, statement: &str) -> bool {
        let (word, rest) = statement.split_once(' ').unwrap_or((statement, ""));
        match word {
            "CALL" => return self.call(rest),
            "LET" | "SET" => {
                let (name, value) = rest.split_once('=').unwrap();
                match self.value(value.trim()) {
                    Some(value) => self.variables.insert(name.trim().to_owned(), value),
                    None => self.variables.remove(name.trim()),
                };
            }
            "TRACE" => self.traced.push(rest.to_owned()),
            "LIB" => self.method = if rest.contains("_POST") { "POST" } else { "GET" },
            "DROP" => self.drop_from(rest),
            _ if statement.contains(" LOAD ") => self.load(statement),
            _ => self.sql(statement),
        }
        true
    }

    /// Runs a sub; a parameter is a variable of its name meanwhile.
    fn call(&mut self, text: &str) -> bool {
        let (name, args) = text.split_once('(').unwrap();
        let args = split(args.strip_suffix(')').unwrap(), ',');
        let (params, body) = self.subs.get(name).unwrap_or_else(|| panic!("no sub {name}")).clone();
        let values: Vec<Option<String>> = args.iter().map(|arg| self.value(arg.trim())).collect();
        let before = self.variables.clone();
        for (param, value) in params.iter().zip(values) {
            self.variables.insert(param.clone(), value.unwrap_or_default());
        }
        let goes_on = self.run_all(&body);
        for param in params {
            match before.get(&param) {
                Some(value) => self.variables.insert(param, value.clone()),
                None => self.variables.remove(&param),
            };
        }
        goes_on
    }

    /// `$(name)` becomes the variable's text, until there is none left; what is not there is nothing.
    fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..100 {
            let Some(at) = text.find("$(") else { return text };
            let end = at + text[at..].find(')').unwrap();
            let value = self.variables.get(&text[at + 2..end]).cloned().unwrap_or_default();
            text.replace_range(at..=end, &value);
        }
        panic!("expansion does not end: {text}");
    }

    fn holds(&self, condition: &str) -> bool {
        condition.split(" OR ").any(|one| {
            let (left, right) = one.split_once('=').unwrap();
            self.value(left.trim()) == self.value(right.trim())
        })
    }

    /// The value of an expression; `None` is null.
    fn value(&self, text: &str) -> Option<String> {
        let parts = split(text, '&');
        if parts.len() > 1 {
            return Some(parts.iter().filter_map(|part| self.value(part.trim())).collect());
        }
        if let Some(literal) = text.strip_prefix('\'') {
            let literal =
                literal.strip_suffix('\'').unwrap_or_else(|| panic!("open literal: {text}"));
            assert!(!literal.replace("''", "").contains('\''), "the literal ends early: {text}");
            return Some(literal.replace("''", "'"));
        }
        let Some((function, args)) = text.split_once('(') else {
            let is_number = text.bytes().all(|b| b.is_ascii_digit());
            return if is_number {
                Some(text.to_owned())
            } else {
                self.variables.get(text).cloned()
            };
        };
        let args = split(args.strip_suffix(')').unwrap(), ',');
        let arg = |at: usize| self.value(args[at].trim()).unwrap_or_default();
        Some(match function {
            "Replace" => arg(0).replace(&arg(1), &arg(2)),
            "Chr" => char::from_u32(arg(0).parse().unwrap()).unwrap().to_string(),
            "Len" => arg(0).chars().count().to_string(),
            "Trim" => arg(0).trim().to_owned(),
            "If" => arg(if self.holds(args[0].trim()) { 1 } else { 2 }),
            "Peek" => {
                let (field, row, table) = (arg(0), arg(1), arg(2));
                let rows = &self.tables[&table];
                return rows.get(row.parse::<usize>().unwrap())?.get(&field)?.clone();
            }
            _ => panic!("no function {function}"),
        })
    }

    fn drop_from(&mut self, rest: &str) {
        if let Some(name) = rest.strip_prefix("TABLE ") {
            assert!(self.tables.remove(name).is_some(), "no table {name}");
            return;
        }
        let (fields, table) = rest.strip_prefix("FIELDS ").unwrap().split_once(" FROM ").unwrap();
        let rows = self.tables.get_mut(bare(table)).unwrap();
        for field in fields.split(',') {
            rows.iter_mut().for_each(|row| _ = row.remove(bare(field)));
        }
    }

    /// `[name]: NoConcatenate LOAD a AS b, … RESIDENT table`
    fn load(&mut self, statement: &str) {
        let (label, rest) = statement.split_once(": NoConcatenate LOAD ").unwrap();
        let (fields, table) = rest.split_once(" RESIDENT ").unwrap();
        let fields: Vec<(&str, &str)> = fields
            .split(',')
            .map(|field| field.trim().split_once(" AS ").unwrap())
            .map(|(from, to)| {
                let inner = from.strip_prefix("Text(").and_then(|it| it.strip_suffix(')'));
                (bare(inner.unwrap_or(from)), bare(to))
            })
            .collect();
        let rows = self.tables[table].iter().map(|row| {
            let pick =
                |&(from, to): &(&str, &str)| (to.to_owned(), row.get(from).cloned().flatten());
            fields.iter().map(pick).collect()
        });
        let rows = rows.collect();
        self.tables.insert(bare(label).to_owned(), rows);
    }

    /// `label: SQL SELECT "a", … FROM JSON (wrap on) "root" WITH CONNECTION (…)`
    fn sql(&mut self, statement: &str) {
        let (label, rest) = statement.split_once(": SQL SELECT ").expect(statement);
        let (columns, rest) =
            rest.split_once(" FROM JSON (wrap on) \"root\" WITH CONNECTION ").unwrap();
        let options = rest.trim().strip_prefix('(').unwrap().strip_suffix(')').unwrap();
        let (mut path, mut headers, mut body) = (String::new(), Vec::new(), String::new());
        for option in split(options, ',') {
            let words = quoted(option.trim());
            match option.trim().split(' ').next().unwrap() {
                "URL" => {
                    path = words[0].splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap()
                }
                "HTTPHEADER" => headers.push(format!("{}: {}", words[0], words[1])),
                "BODY" => body.clone_from(&words[0]),
                other => panic!("no option {other}"),
            }
        }
        if !body.is_empty() {
            headers.push("Expect: 100-continue".to_owned());
        }
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let path = path.replace(' ', "%20");
        let answer = self.pantry.request(self.method, &path, &headers, body.as_bytes());
        self.statuses.push(answer.status);
        // Any other status ends a reload.
        assert!(matches!(answer.status, 200..=299), "{path} {body}: {}", answer.text());
        let found = answer.json();
        let rows = found.as_array().cloned().unwrap_or_else(|| vec![found]);
        let row = |row: &serde_json::Value| {
            let text = |value: &serde_json::Value| match value {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            let columns = columns.split(',').map(bare);
            columns.map(|column| (column.to_owned(), text(&row[column]))).collect()
        };
        self.tables.insert(bare(label).to_owned(), rows.iter().map(row).collect());
    }
}

/// A script's statements: what ends with a semicolon, and the lines of `IF` and `END IF`.
fn statements(text: &str) -> Vec<String> {
    let (mut all, mut open) = (Vec::new(), String::new());
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
    {
        if open.is_empty()
            && (line == "END IF" || (line.starts_with("IF ") && line.ends_with(" THEN")))
        {
            all.push(line.to_owned());
            continue;
        }
        if !open.is_empty() {
            open.push(' ');
        }
        open.push_str(line);
        if let Some(whole) = open.strip_suffix(';') {
            all.push(whole.to_owned());
            open.clear();
        }
    }
    assert!(open.is_empty(), "a statement without an end: {open}");
    all
}

/// Splits where a character stands outside of quotes and parentheses.
fn split(text: &str, at: char) -> Vec<String> {
    let (mut parts, mut depth, mut quote) = (vec![String::new()], 0, None);
    for c in text.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) if c == at && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    assert!(quote.is_none(), "a quote stays open: {text}");
    parts
}

/// What stands between double quotes; doubled ones in it are one.
fn quoted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (mut word, mut chars) = (String::new(), rest[at + 1..].char_indices().peekable());
        let end = loop {
            let (place, c) = chars.next().expect("a closing quote");
            if c != '"' {
                word.push(c);
            } else if chars.next_if(|(_, next)| *next == '"').is_some() {
                word.push('"');
            } else {
                break at + 1 + place + 1;
            }
        };
        words.push(word);
        rest = &rest[end..];
    }
    words
}

/// A name without its brackets or quotes.
fn bare(name: &str) -> &str {
    name.trim().trim_matches(['[', ']', '"', '\''])
}
