//! Scripts beyond what golden scripts show: what they can not break, and what their effects are.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::Ordering::Relaxed;

use pantry::clock::Clock;
use pantry::journal::Journal;
use pantry::store::Store;
use support::Harness;
use support::render::render;

/// Runs a script without names; returns its reply as redis-cli prints it.
fn eval(server: &mut Harness, script: &str) -> String {
    render(&server.execute("a", &[b"EVAL".to_vec(), script.as_bytes().to_vec(), b"0".to_vec()]))
}

/// What every script must find, whatever others tried.
const PROBE: &str = "foo_is = rawget(_G, 'foo')";
const WHOLE: &str = "return tostring(rawget(_G, 'foo')) .. string.upper('a') .. ('b'):upper() .. \
                     redis.sha1hex(''):sub(1, 4) .. tostring(rawget(string, 'foo')) .. table.concat({1, 2}) .. \
                     cjson.encode({1}) .. tostring(math.floor(1.5)) .. type(redis.call)";

#[test]
fn nothing_that_scripts_share_can_be_changed() {
    let mut server = Harness::new(Journal::discarding());
    let whole = eval(&mut server, WHOLE);
    assert_eq!(whole, "\"nilABda39nil12[1]1function\"");
    assert!(eval(&mut server, PROBE).contains("Attempt to modify a readonly table"));
    for attempt in [
        "foo = 1",
        "_G.foo = 1",
        "rawset(_G, 'foo', 1)",
        "setmetatable(_G, {__index = function() return 1 end})",
        "getmetatable(_G).__index.foo = 1",
        "getfenv(0).foo = 1",
        "getfenv(redis.call).foo = 1",
        "getfenv(string.upper).string = {}",
        "setfenv(0, {foo = 1})",
        "setfenv(pcall, {foo = 1})",
        "string.upper = function() return 'x' end",
        "string.foo = 1",
        "rawset(string, 'foo', 1)",
        "table.insert(string, 'foo')",
        "table.sort(string)",
        "getmetatable('').__index = {}",
        "getmetatable('').__index.upper = nil",
        "setmetatable(string, {})",
        "redis.call = nil",
        "redis.sha1hex = function() return 'x' end",
        "cjson.encode = nil",
        "math.floor = nil",
        "table.concat = nil",
        "for name in pairs(_G) do _G[name] = nil end",
        "loadstring('foo = 1')()",
        "load(function() return nil end)() foo = 1",
        "coroutine.wrap(function() foo = 1 end)()",
        "local f = loadstring(string.dump(function() foo = 1 end)) f()",
        "pcall(rawset, _G, 'foo', 1)",
        "xpcall(function() foo = 1 end, function() string.upper = nil end)",
        "redis.setresp(3) redis.setresp(7)",
    ] {
        eval(&mut server, attempt);
        assert_eq!(eval(&mut server, WHOLE), whole, "{attempt}");
    }
}

#[test]
fn what_could_leave_the_sandbox_is_not_there() {
    let mut server = Harness::new(Journal::discarding());
    for name in ["io", "require", "package", "debug", "dofile", "loadfile", "print", "newproxy"] {
        let reply = eval(&mut server, &format!("return {name}"));
        assert!(reply.contains("nonexistent global variable"), "{name}: {reply}");
    }
    assert_eq!(eval(&mut server, "return #{next(os), next(os, 'clock')}"), "(integer) 1");
}

#[test]
fn memory_that_runs_out_ends_the_script_only() {
    let mut server = Harness::new(Journal::discarding());
    for bomb in [
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = {} end",
        "return string.rep('x', 2 ^ 30)",
        "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e6) .. i end",
        "return cjson.decode('[' .. ('[],'):rep(4e6) .. '1]')",
        "redis.call('setrange', 'a', 6e7, 'x') local t = {1, 2, 3, 4, 5, 6, 7, 8} \
         for i = 1, 8 do t[i] = redis.call('getrange', 'a', i, -1) end",
        // A small table that stands in others many times.
        "local t = ('x'):rep(1e5) for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "local t = ('x'):rep(1e5) for i = 1, 15 do t = {t, t, t, t} end return cmsgpack.pack(t)",
    ] {
        let reply = eval(&mut server, bomb);
        assert!(reply.contains("not enough memory"), "{bomb}: {reply}");
        assert_eq!(eval(&mut server, "return 1 + 1"), "(integer) 2");
    }
}

#[test]
fn a_result_that_is_too_long_is_an_error_and_nothing_else() {
    let mut server = Harness::new(Journal::discarding());
    let mut run = |line: &str| {
        let words: Vec<Vec<u8>> = line.split('|').map(|word| word.as_bytes().to_vec()).collect();
        render(&server.execute("a", &words))
    };
    run("CONFIG|SET|client-reply-max-bytes|100000");
    let too_long = "(error) ERR reply exceeds client-reply-max-bytes, use a smaller result instead";
    for leaf in [
        "'x'",
        "{}",
        "{ok = ('x'):rep(1e5)}",
        "{err = ('x'):rep(1e5)}",
        "{map = {a = 1}}",
        "{set = {a = true}}",
        "{big_number = ('1'):rep(1e5)}",
        "{verbatim_string = {format = 'txt', string = ('x'):rep(1e5)}}",
    ] {
        let script = format!("local t = {leaf} for i = 1, 40 do t = {{t, t}} end return t");
        assert_eq!(run(&format!("EVAL|{script}|0")), too_long, "{leaf}");
    }
    run("MULTI");
    run("EVAL|local t = {} for i = 1, 40 do t = {t, t} end return t|0");
    run("PING");
    assert_eq!(run("EXEC"), format!("1) {too_long}\n2) PONG"));
    assert_eq!(
        run("EVAL|return {1, {2, 'three'}}|0"),
        "1) (integer) 1\n2) 1) (integer) 2\n   2) \"three\""
    );
}

#[test]
fn what_scripts_and_functions_take_is_told() {
    let mut server = Harness::new(Journal::discarding());
    let info = |server: &mut Harness, field: &str| -> usize {
        let text = render(&server.execute("a", &[b"INFO".to_vec(), b"memory".to_vec()]));
        let (_, rest) = text.split_once(&format!("{field}:")).unwrap();
        rest[..rest.find("\\r").unwrap()].parse().unwrap()
    };
    assert_eq!(info(&mut server, "used_memory_lua"), 0, "no Lua is made before it is needed");
    let script = "return #string.rep('x', 1000000)";
    assert_eq!(eval(&mut server, script), "(integer) 1000000");
    assert!(info(&mut server, "used_memory_lua") > 1_000_000);
    assert_eq!(info(&mut server, "used_memory_scripts_eval"), script.len());
    assert_eq!(info(&mut server, "number_of_functions"), 0);
    let code = "#!lua name=lib\nlocal function f() end\n\
                redis.register_function('f', f) redis.register_function('g', f)";
    server.execute("a", &[b"FUNCTION".to_vec(), b"LOAD".to_vec(), code.as_bytes().to_vec()]);
    assert_eq!(info(&mut server, "number_of_libraries"), 1);
    assert_eq!(info(&mut server, "number_of_functions"), 2);
    assert_eq!(info(&mut server, "used_memory_functions"), "lib".len() + code.len());
    assert_eq!(info(&mut server, "used_memory_scripts"), script.len() + "lib".len() + code.len());
}

/// Redis's own tests want less than 100 KiB after 10,000 of them.
#[test]
fn what_scripts_leave_is_collected_before_it_is_much() {
    let mut server = Harness::new(Journal::discarding());
    // Many strings and functions leave large tables of them.
    let fill = |server: &mut Harness| {
        eval(server, "local t = {} for i = 1, 100000 do t[i] = 'x' .. i end return #t");
        for i in 0..10_000 {
            let script = format!("return {i}").into_bytes();
            server.execute("a", &[b"SCRIPT".to_vec(), b"LOAD".to_vec(), script]);
        }
        server.run("SCRIPT FLUSH");
    };
    let most_of_many = |server: &mut Harness| {
        let script = b"return redis.call('incr', KEYS[1])".to_vec();
        let request = [b"EVAL".to_vec(), script, b"1".to_vec(), b"counter".to_vec()];
        let bytes = |server: &mut Harness| {
            server.execute("a", &request);
            server.server.metrics[0].lua_bytes.load(Relaxed)
        };
        (0..10_000).map(|_| bytes(server)).max().unwrap()
    };
    fill(&mut server);
    let most = most_of_many(&mut server);
    assert!((1..100 << 10).contains(&most), "{most}");

    // A library's state outlives that, and so does the room that Lua needs to go on with it.
    let code = "#!lua name=lib\nlocal n = 0\nredis.register_function('count', function() n = n + 1 return n end)";
    server.execute("a", &[b"FUNCTION".to_vec(), b"LOAD".to_vec(), code.as_bytes().to_vec()]);
    assert_eq!(server.run("FCALL count 0"), "(integer) 1");
    fill(&mut server);
    let most = most_of_many(&mut server);
    assert!(most < 150 << 10, "{most}");
    assert_eq!(server.run("FCALL count 0"), "(integer) 2");
}

#[test]
fn what_one_script_or_transaction_changes_has_an_end() {
    let mut server = Harness::new(Journal::discarding());
    let script = "local value, changes = string.rep('x', 1048576), 0 \
                  while true do \
                    local reply = redis.pcall('set', 'k', value) \
                    if reply.err then return changes .. ' ' .. reply.err end \
                    changes = changes + 1 \
                  end";
    let reply = eval(&mut server, script);
    assert_eq!(reply, "\"256 ERR the transaction or script changes too much at once\"");
    assert_eq!(eval(&mut server, "return redis.call('strlen', 'k')"), "(integer) 1048576");
    let mut ask = |line: &str| {
        render(&server.execute("a", &line.split(' ').map(|word| word.into()).collect::<Vec<_>>()))
    };
    ask("MULTI");
    (0..257).for_each(|_| drop(ask("BITOP NOT other k")));
    let replies = ask("EXEC");
    assert!(replies.contains("256) (integer) 1048576"), "{}", replies.len());
    assert!(replies.contains("257) (error) ERR the transaction or script changes too much"));
    assert_eq!(ask("BITOP NOT other k"), "(integer) 1048576");
}

#[test]
fn large_tables_go_both_ways() {
    let mut server = Harness::new(Journal::discarding());
    let reply = eval(&mut server, "local t = {} for i = 1, 20000 do t[i] = 'x' .. i end return t");
    assert!(reply.trim_end().ends_with("20000) \"x20000\""), "{}", &reply[reply.len() - 100..]);
    let script = "local t = {} for i = 1, 20000 do t[tostring(i)] = {i} end \
                  local there = cjson.decode(cjson.encode(t)) \
                  local back = cmsgpack.unpack(cmsgpack.pack(there)) \
                  return back['20000'][1]";
    assert_eq!(eval(&mut server, script), "(integer) 20000");
}

#[test]
fn many_scripts_can_be_kept() {
    let mut server = Harness::new(Journal::discarding());
    for i in 0..10_000 {
        let script = format!("return {i}").into_bytes();
        server.execute("a", &[b"SCRIPT".to_vec(), b"LOAD".to_vec(), script]);
    }
    assert_eq!(eval(&mut server, "return 9999"), "(integer) 9999");
}

#[test]
fn time_stands_still_in_a_script_until_it_is_busy() {
    let mut server = Harness::of(Store::new(Journal::discarding(), Clock::system()));
    let wait_for_time = "local function now() return table.concat(redis.call('TIME'), '.') end \
         local began, before = os.clock(), now() \
         while now() == before and os.clock() - began < SECONDS do end \
         return now() == before and 'stands' or 'moves'";
    assert_eq!(eval(&mut server, &wait_for_time.replace("SECONDS", "0.05")), "\"stands\"");
    server.run("CONFIG SET busy-reply-threshold 20");
    assert_eq!(eval(&mut server, &wait_for_time.replace("SECONDS", "20")), "\"moves\"");
}

#[test]
fn a_script_is_one_batch_of_effects_even_if_it_fails() {
    let mut server = Harness::new(Journal::remembering(u64::MAX));
    let script = "redis.call('SET', 'a', 1) redis.call('HSET', 'b', 'c', 2) error('enough')";
    assert!(eval(&mut server, script).contains("enough"));
    assert_eq!(server.server.store.journal.batches().len(), 1);
    assert_eq!(server.run("GET a"), "\"1\"");
}

#[test]
fn libraries_are_kept_with_the_data() {
    let mut server = Harness::new(Journal::remembering(u64::MAX));
    let load = |server: &mut Harness, name: &str| {
        let code = format!("#!lua name={name}\nredis.register_function('{name}', function() end)");
        server.execute("a", &[b"FUNCTION".to_vec(), b"LOAD".to_vec(), code.into_bytes()]);
    };
    load(&mut server, "gone");
    server.run("FUNCTION FLUSH");
    load(&mut server, "one");
    load(&mut server, "two");
    load(&mut server, "three");
    server.run("FUNCTION DELETE two");
    let kept = server.server.store.libraries.all().1;
    let names: Vec<_> = kept.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    assert_eq!(names, ["one", "three"]);
    assert_eq!(server.replayed().libraries.all().1, kept);
}

/// Lua's own library can refer to some thousand values at a time; libraries are more than that.
#[test]
fn tens_of_thousands_of_libraries_are_loaded_and_called() {
    const LIBRARIES: usize = 20_000;
    let mut server = Harness::new(Journal::discarding());
    for number in 0..LIBRARIES {
        let code = format!(
            "#!lua name=lib{number}\nredis.register_function('f{number}', function() return {number} end)"
        );
        let load = [b"FUNCTION".to_vec(), b"LOAD".to_vec(), code.into_bytes()];
        assert_eq!(render(&server.execute("a", &load)), format!("\"lib{number}\""));
    }
    for number in [0, 8_000, LIBRARIES - 1] {
        assert_eq!(server.run(&format!("FCALL f{number} 0")), format!("(integer) {number}"));
    }
    assert_eq!(server.run("FUNCTION FLUSH"), "OK");
    assert_eq!(server.run("FCALL f0 0"), "(error) ERR Function not found");
}
