//! Commands inside other commands: run by a script, or only asked about with ACL DRYRUN; and scripts of other kinds.

use crate::oracle::Random;

use super::{KEYS, Words};

/// Scripts that do nothing but run the command in ARGV. Their replies are compared as the command's own.
const RUNNERS: &[&[u8]] = &[
    b"return redis.call(unpack(ARGV))",
    b"return redis.pcall(unpack(ARGV))",
    b"redis.setresp(3) return redis.call(unpack(ARGV))",
    b"local reply = redis.call(unpack(ARGV)) return reply",
];
/// Scripts that take any two arguments. The same arguments give the same reply.
const SCRIPTS: &[&[u8]] = &[
    b"return {KEYS[1], ARGV[1], ARGV[2], ARGV[3]}",
    b"redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[1])",
    b"redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return redis.error_reply('OWN after a change')",
    b"local r = redis.pcall('INCRBY', KEYS[1], ARGV[1]) return type(r) == 'table' and {r.err} or tostring(r)",
    b"return tonumber(ARGV[1])",
    b"return tostring(tonumber(ARGV[1]))",
    b"return {1, 2.9, 'three', {4, nil, 5}, false, true, {ok = 'fine'}}",
    b"return redis.status_reply((ARGV[1]:gsub('%z', '0')))",
    b"return redis.error_reply(ARGV[1])",
    b"return redis.sha1hex(ARGV[1])",
    b"return cjson.encode({ARGV[1], ARGV[2], #ARGV[1]})",
    b"return cjson.decode(ARGV[1])",
    b"return cmsgpack.pack({ARGV[1], tonumber(ARGV[2]), true})",
    b"return cmsgpack.unpack(cmsgpack.pack({ARGV[1], {ARGV[2]}}))",
    b"return struct.pack('>I2i4dsB', 515, -7, 0.5, ARGV[1], 255)",
    b"return {struct.unpack('<I2', ARGV[1])}",
    b"return {bit.band(255, #ARGV[1] * 7919), bit.tohex(#ARGV[2]), bit.lshift(1, 31)}",
    b"return string.format('%q %s %5.2f %d', ARGV[1], ARGV[2], tonumber(ARGV[1]) or 1.005, 42)",
    b"return redis.call('NOSUCH')",
    b"return redis.call('GET')",
    b"return nothing.at.all",
    b"error(ARGV[1])",
    b"error({err = 'MINE ' .. ARGV[1]})",
    b"return redis.call('MULTI')",
    b"return {redis.call('SELECT', 1), redis.call('GET', KEYS[1])}",
];
/// Users that ACL DRYRUN is asked about, and their rules.
pub const USERS: &[(&str, &[&str])] = &[
    ("u1", &["on", "nopass", "~*", "+@all"]),
    ("u2", &["on", "~a*", "%R~b", "+@read", "+@write", "-@dangerous"]),
    ("u3", &["on", "allkeys", "+@hash", "-hdel", "+config|get", "+@connection"]),
    ("u4", &["off", "~n*", "+get", "+set", "(~c +@string)", "(%W~d +set +hset)"]),
    ("u5", &["on", "allkeys", "allcommands", "-@keyspace", "-@slow", "+@bitmap", "&news*"]),
];

/// The command inside a script.
pub fn in_script(random: &Random, command: Words) -> Words {
    let mut words = vec![eval(random), random.pick(RUNNERS).to_vec(), b"0".to_vec()];
    words.extend(command);
    words
}

/// One of the scripts, with arguments.
pub fn script(random: &Random, name: &[u8], arguments: [Vec<u8>; 2]) -> Words {
    let mut words = vec![eval(random), random.pick(SCRIPTS).to_vec(), b"1".to_vec(), name.to_vec()];
    words.extend(arguments);
    if random.below(10) == 0 {
        words[2] = random.pick(KEYS).to_vec();
    }
    words
}

/// Asks whether a user might run the command.
pub fn dry_run(random: &Random, command: Words) -> Words {
    let (user, _) = random.pick(USERS);
    let mut words = vec![b"ACL".to_vec(), b"DRYRUN".to_vec(), user.as_bytes().to_vec()];
    words.extend(command);
    words
}

/// What is in it, if it only runs another command.
pub fn undressed(command: &Words) -> Words {
    if is_script(command) && command.len() > 3 && RUNNERS.contains(&&command[1][..]) {
        return command[3..].to_vec();
    }
    command.clone()
}

/// Whether it is a script that is run.
pub fn is_script(command: &Words) -> bool {
    command[0].to_ascii_uppercase().starts_with(b"EVAL")
}

fn eval(random: &Random) -> Vec<u8> {
    random.pick(&[&b"EVAL"[..], b"EVAL", b"eval", b"EVAL_RO"]).to_vec()
}
