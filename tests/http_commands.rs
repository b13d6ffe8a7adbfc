//! Any command over HTTP, alone, as a pipeline and as a transaction, in the form of Upstash's REST API.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod http_support;

use http_support::{Answer, Pantry};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json";

/// Status and code of a refusal.
fn refusal(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!(body["ok"], false);
    (answer.status, body["error"].as_str().unwrap().to_owned())
}

#[test]
fn any_command_runs_as_upstash_has_it() {
    let pantry = Pantry::start(&[]);
    let command = |body: &str| pantry.post("/v1/command", body);
    assert_eq!(command(r#"["HSET","h","f","å"]"#).json(), json!({"result": 1}));
    assert_eq!(command(r#"["HGETALL","h"]"#).json(), json!({"result": ["f", "å"]}));
    assert_eq!(command(r#"["HGET","h","none"]"#).json(), json!({"result": null}));
    let failed = command(r#"["NOSUCH"]"#);
    assert_eq!(failed.status, 400);
    assert!(failed.json()["error"].as_str().unwrap().starts_with("ERR unknown command"));
    let encoded =
        pantry.request("POST", "/", &[JSON, "Upstash-Encoding: base64"], br#"["HGETALL","h"]"#);
    assert_eq!(encoded.json(), json!({"result": ["Zg==", "w6U="]}));
    let pipeline = pantry
        .post("/pipeline", r#"[["SET","s",1],["INCRBY","s",2],["HGET","s","f"],["MULTI"]]"#)
        .json();
    assert_eq!(pipeline[1], json!({"result": 3}));
    assert!(pipeline[2]["error"].as_str().unwrap().starts_with("WRONGTYPE"));
    assert!(pipeline[3]["error"].as_str().unwrap().contains("about a connection"));
    let done = pantry.post("/multi-exec", r#"[["INCR","s"],["HGETALL","h"]]"#).json();
    assert_eq!(done, json!([{"result": 4}, {"result": ["f", "å"]}]));
    let refused = pantry.post("/v1/transaction", r#"[["INCR","s"],["GET"]]"#);
    assert_eq!((refused.status, command(r#"["GET","s"]"#).json()), (400, json!({"result": "4"})));
    for body in ["[]", "{}", "[[]]", "[null]", "", "[1"] {
        assert_eq!(command(body).status, 400, "{body}");
    }
}

#[test]
fn what_belongs_to_a_connection_is_refused_whatever_it_is_called() {
    let flags = ["--rename-command", "SELECT", "choose", "--rename-command", "SUBSCRIBE", "hear"];
    let pantry = Pantry::start(&flags);
    let mut client = pantry.connect();
    let mut run = |command: &str| {
        client.send_request("POST", "/v1/command", &[JSON], command.as_bytes());
        client.answer("POST")
    };
    for command in [r#"["choose","1"]"#, r#"["HEAR","news"]"#] {
        let refused = run(command);
        let text = refused.json()["error"].to_string();
        assert!(refused.status == 400 && text.contains("about a connection"), "{text}");
    }
    assert_eq!(run(r#"["HSET","h","f","1"]"#).json(), json!({"result": 1}));
    assert_eq!(pantry.get("/v4/keyvaluesnamespaces").json(), json!(["h"]));
}

/// What Redis clients call commands is no matter of the other door.
#[test]
fn operations_do_not_depend_on_what_commands_are_called() {
    let names =
        [("NAMESPACE", ""), ("MULTI", "begin"), ("EXEC", ""), ("HGETDEL", ""), ("HSET", "put")];
    let flags = names.iter().flat_map(|(old, new)| ["--rename-command", old, new]);
    let pantry = Pantry::start(&flags.collect::<Vec<_>>());
    let set = pantry.post("/v4/keyvalues/n", r#"{"key":"a","value":"1"}"#);
    assert_eq!(set.status, 201);
    assert_eq!(pantry.get("/v4/keyvalues/n?key=a").json()["value"], "1");
    assert_eq!(pantry.post("/v1/set", r#"{"namespace":"n","key":"b","value":"2"}"#).status, 200);
    assert_eq!(pantry.get("/v1/namespaces/n/pairs").json().as_array().unwrap().len(), 2);
    assert_eq!(pantry.post("/v1/get-many?namespace=n", r#"["b"]"#).json()[0]["value"], "2");
    assert_eq!(pantry.post("/v1/take", r#"{"namespace":"n","key":"b"}"#).json()["value"], "2");
    let done = pantry.post("/v1/transaction", r#"[["PUT","n","c","3"],["HLEN","n"]]"#);
    assert_eq!(done.json(), json!([{"result": 1}, {"result": 2}]));
    for command in [r#"["NAMESPACE","LIST"]"#, r#"["HSET","n","c","3"]"#] {
        let refused = pantry.post("/v1/command", command);
        assert!(refused.json()["error"].to_string().contains("unknown command"), "{command}");
    }
}

#[test]
fn commands_are_no_more_and_answer_no_more_than_they_may() {
    let pantry = Pantry::start(&["--http-bulk-max-rows", "4", "--client-reply-max-bytes", "1024"]);
    let pairs = json!(["HSET", "h", "a", "v".repeat(600), "b", "v".repeat(600)]).to_string();
    assert_eq!(pantry.post("/v1/command", &pairs).status, 200);
    let get = json!(["HMGET", "h", "a", "b"]);
    let alone = pantry.post("/v1/command", &get.to_string());
    assert_eq!(alone.status, 400, "longer than a reply may be");
    let (one, set) = (json!(["HGET", "h", "a"]), json!(["HSET", "h", "c", "1"]));
    let answer = pantry.post("/v1/pipeline", &json!([one, one, set, one]).to_string()).json();
    assert_eq!(answer[1]["result"], "v".repeat(600));
    for at in [2, 3] {
        assert!(answer[at]["error"].as_str().unwrap().starts_with("ERR not run"), "{answer}");
    }
    assert_eq!(pantry.post("/v1/command", r#"["HLEN","h"]"#).json(), json!({"result": 2}));
    for target in ["/v1/pipeline", "/v1/transaction"] {
        let many = pantry.post(target, &json!([set, set, set, set, set]).to_string());
        assert_eq!(refusal(&many), (413, "too_many_rows".into()), "{target}");
    }
}

/// Also of values that are not copied until they leave.
#[test]
fn replies_of_a_transaction_are_no_longer_together_than_one_may_be() {
    let pantry = Pantry::start(&["--client-reply-max-bytes", "40000"]);
    let value = "v".repeat(30_000);
    assert_eq!(pantry.post("/v1/command", &json!(["SET", "long", value]).to_string()).status, 200);
    let (get, count) = (json!(["GET", "long"]), json!(["INCR", "n"]));
    let run = |commands: &[&Value]| pantry.post("/v1/transaction", &json!(commands).to_string());
    assert_eq!(run(&[&get, &count]).json()[0]["result"], value);
    let refused = run(&[&get, &count, &get]);
    let text = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(refused.status == 400 && text.contains("was executed, but its reply"), "{text}");
    assert_eq!(pantry.post("/v1/command", r#"["GET","n"]"#).json(), json!({"result": "2"}));
}

#[test]
fn statuses_say_what_codes_say() {
    let pantry = Pantry::start(&[]);
    let status = |command: &str| pantry.post("/v1/command", command).status;
    assert_eq!(status(r#"["NAMESPACE","LIMIT","n","PAIRS","1"]"#), 200);
    assert_eq!(status(r#"["HSET","n","a","1","b","2"]"#), 507);
    assert_eq!(status(r#"["EVAL","return redis.error_reply('BUSY no')","0"]"#), 503);
    assert_eq!(status(r#"["EVAL","return redis.error_reply('MINE no')","0"]"#), 400);
}

#[test]
fn a_script_that_takes_long_runs_to_its_end() {
    let pantry = Pantry::start(&[]);
    let eval = |script: &str| {
        let command = json!(["EVAL", script, "0"]).to_string();
        pantry.post("/v1/command", &command).json()
    };
    let long = "local began, n = redis.call('TIME'), 0 for i = 1, 3000000 do n = n + 1 end \
                redis.call('SET', 'n', n) local ended = redis.call('TIME') \
                return began[1] == ended[1] and began[2] == ended[2] and 'in no time'";
    assert_eq!(eval(long), json!({"result": "in no time"}));
    assert_eq!(eval("return redis.call('GET', 'n')"), json!({"result": "3000000"}));

    pantry.post("/v1/command", r#"["CONFIG","SET","busy-reply-threshold","50"]"#);
    let ended = eval("while true do end");
    assert!(ended["error"].as_str().unwrap().contains("Script killed by user"), "{ended}");
    assert_eq!(eval("return redis.call('GET', 'n')"), json!({"result": "3000000"}));
}
